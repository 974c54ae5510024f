"""Mixtures with known parts."""
