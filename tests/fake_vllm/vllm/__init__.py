"""A FAKE of vLLM for fault tests: it answers like a server and a load client, and breaks on request. It measures nothing."""
