"""The reference implementation: the ground truth that submissions are compared with.

Configuration (`config`, ``presets/``) -> `model` -> `training` (`optim`, `data`) -> `quantisation` -> `artifact` ->
`evaluation` (sliding window, score-first test-time training). Imports nothing of the auditor.
"""
