"""Training: the loop, its processes, clock, log and checkpoints, and the recipe from training to the last score."""
