"""A record's figures and gates made anew by those who did not measure, from its raw requests and the plan. Pure but for reading files."""
