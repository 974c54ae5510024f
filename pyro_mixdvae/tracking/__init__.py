"""Tracking a fixed number of boxes: files, tracker, scores and plots."""
