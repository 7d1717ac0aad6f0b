"""Jobs on Slurm: one batch script a job, found again by name, with results that outlive launcher and node program."""
