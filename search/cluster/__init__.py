"""Ray's machines: connecting, examining, moving files, submitting jobs. Knows no trials."""
