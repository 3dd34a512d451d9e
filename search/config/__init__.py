"""Settings of a sweep: flags, TOML keys and their checks. Reads no images, starts nothing."""
