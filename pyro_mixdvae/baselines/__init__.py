"""Trackers and separators that ours is held against: none uses our engine, so a mistake there cannot flatter both."""
