"""Scores of separated sounds."""
