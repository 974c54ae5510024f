"""Files to separate, and the files that this leaves."""
