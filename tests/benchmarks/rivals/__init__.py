"""Rivals of Finesweep on the same images, with the same weights and the same wall time.

The modules ``run_*`` are the rivals: each runs in a process of its own, some in an environment of
their own, and imports of this project only `protocol` and `docs_style`, by relative imports.
"""
