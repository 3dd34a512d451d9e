"""Driver of a sweep that logs its epochs; the harness kills this process and starts it again.

python -m tests.chaos.driver SETTINGS.json
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import search.tuning.tuner
from search.config import SweepConfig
from search.record import SweepPaths
from search.sweep import Sweep
from search.trial import FineTuneTrial

PAUSE_SECONDS = 0.3
"""Pause after each epoch, so that a kill is likely to hit a running trial."""
EPOCH_LOG = "epochs.log"


class CountedTrial(FineTuneTrial):
    """Trial that logs every epoch it finishes, even if the driver never receives the result."""

    def step(self) -> dict[str, Any]:
        """Run an epoch, log its number, and pause."""
        result = super().step()
        with (self._job.config.cache_dir / EPOCH_LOG).open("a") as log:
            log.write(f"{self._request.number} {result['epoch']}\n")
        time.sleep(PAUSE_SECONDS)
        return result


def main() -> None:
    """Launch the settings file's sweep, or resume it if it was launched before."""
    search.tuning.tuner.FineTuneTrial = CountedTrial  # type: ignore[misc]
    config = SweepConfig.parse(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    paths = SweepPaths(config.results_dir / config.name)
    result = Sweep.existing(paths).resume() if paths.config.exists() else Sweep(config).run()
    sys.exit(1 if result.unfinished else 0)


if __name__ == "__main__":
    main()
