"""Clean recordings of one source to learn from."""
