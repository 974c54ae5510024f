"""Blocks of samples: their results, kept, in processes or on a cluster."""
