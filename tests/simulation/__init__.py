"""A simulated server and its records, to find out how often the verdict is right."""
