"""The benchmark: the same samples for every method, scores with intervals, tables and charts."""
