"""``python -m search`` is ``finesweep``."""

from search.cli import main

main()
