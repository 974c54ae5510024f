"""Command line: one thin module a verb."""
