"""Optimisation: Muon for matrices, AdamW for the rest, and the schedules of learning rate and momentum."""
