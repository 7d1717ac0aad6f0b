"""Base against head: which records are compared, what noise is, and the words that it allows."""
