"""Generative models: p(o|w,s), p(w) and p(s,z) as Pyro statements."""
