"""perf-changelog.yaml."""
