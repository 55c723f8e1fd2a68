"""Jobs on a Slurm cluster, by its own commands: an array, files beside it, and who watches them."""
