"""Samples of a few targets, and how they are made harder."""
