"""Tracks to learn a motion prior from, and how each kind of prior is trained."""
