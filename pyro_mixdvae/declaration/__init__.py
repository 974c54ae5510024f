"""A whole model declared in TOML: tables of families and their options, read, checked, built and written."""
