"""What a difference, or a wrong smoother, looks like in words."""
