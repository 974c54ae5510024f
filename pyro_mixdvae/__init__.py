"""Explain a mixture of N sources over time with a learned dynamical model of each, and say how sure you are."""

__version__ = "0.1.0"
