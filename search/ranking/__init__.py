"""Which trials are best: tables, repeats with other seeds, and comparisons between sweeps."""
