"""Compiled loops (numba) where calls to PyTorch would cost more than the work; each is held to PyTorch in a test."""
