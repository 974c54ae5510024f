"""Weights that ship, and how weights are kept."""
