"""What is counted of the outcome of a sample."""
