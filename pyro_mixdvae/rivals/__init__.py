"""Trackers that ours is held against: a few lines each, NumPy and SciPy only, nothing of our engine."""
