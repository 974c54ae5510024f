"""p(w | v) p(v): the contract of an assignment prior, and the families that ship."""
