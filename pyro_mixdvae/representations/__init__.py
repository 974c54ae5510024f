"""Representations: how boxes and sounds become the content of a model, and back."""
