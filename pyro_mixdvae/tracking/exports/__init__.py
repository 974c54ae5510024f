"""A tracking result as other tools have it: one module a tool."""
