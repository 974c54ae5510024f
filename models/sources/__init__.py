"""p(s, z): the contract of a prior over the sources, and the families that ship."""
