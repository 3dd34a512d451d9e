"""Ray's machines: connecting, examining, moving files and submitting jobs. Knows nothing of trials."""
