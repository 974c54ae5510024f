"""Formats that detections and tracks come in: one object each, and the registry that recognises them."""
