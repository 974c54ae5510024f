"""Trackers and separators that ours are held against: none uses our engine, which would hide a mistake in it."""
