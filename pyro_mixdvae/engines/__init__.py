"""Engines: how inference computes what the model says, in PyTorch or compiled, and which one a run takes."""
