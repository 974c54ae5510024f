"""Tracking frame by frame, as detections come."""
