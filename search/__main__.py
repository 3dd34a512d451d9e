"""``python -m search`` is ``finesweep``."""

from search.cli.parser import main

main()
