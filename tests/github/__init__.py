"""What stands in for GitHub in tests: it keeps state, and every call and answer is held against GitHub's own description."""
