"""The command line: its words, settings as flags, and what the commands print."""
