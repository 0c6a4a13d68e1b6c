"""The questions that are asked of the runs, one file each."""
