"""Separators that ours is held against: none uses our engine."""
