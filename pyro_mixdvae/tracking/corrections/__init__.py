"""What a person says of a result, and the result that follows from it."""
