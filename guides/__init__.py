"""Guides: q(w|o), q(s|o) and q(z|s), under the site names of the models."""
