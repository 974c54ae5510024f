"""A result as a film: boxes over images, with what is inferred and what is in doubt marked."""
