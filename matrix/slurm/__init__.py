"""What Slurm asks of a cluster file: words that it knows."""
