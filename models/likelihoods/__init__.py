"""p(o | w, s): the contract of a likelihood, and the families that ship."""
