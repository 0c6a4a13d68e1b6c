"""Scores of a model: bits per byte over a sliding window or the whole stream, and score-first test-time training."""
