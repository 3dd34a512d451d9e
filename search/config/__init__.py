"""Settings of a sweep: the flags, the TOML keys and their checks. Reads no images and starts nothing."""
