"""Inference: coordinate updates, SVI, starts and pre-training."""
