"""Rows, tables and charts of the results."""
