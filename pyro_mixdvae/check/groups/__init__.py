"""The groups of verdicts: one file, or two, for each."""
