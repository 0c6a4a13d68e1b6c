"""Tokens on disk, the bytes that they stand for, and the batches of training."""
