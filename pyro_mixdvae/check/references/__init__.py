"""How a reference is found: draws with given noise, expectations, slopes, and sums by brute force."""
