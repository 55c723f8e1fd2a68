"""Jobs in other processes: on this machine, on Slurm, on Ray. What a job does is its own affair."""
