"""Where a job runs: each launcher behind one protocol."""
