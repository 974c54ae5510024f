"""What the scores of all tasks share: tables, and intervals of the bootstrap."""
