"""Scores of tracks."""
