"""Sounds that are separated while they come."""
