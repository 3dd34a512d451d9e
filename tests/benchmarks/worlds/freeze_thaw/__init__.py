"""A candidate for Finesweep's sampler, which also chooses who goes on; not in a sweep yet."""
