"""A sweep that logs the epochs it runs, launched or resumed: the process that the harness kills.

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
"""Pause after each epoch, so that a kill meets a running trial."""
EPOCH_LOG = "epochs.log"


class CountedTrial(FineTuneTrial):
    """A trial that logs every epoch it finished, whether or not the driver hears of it."""

    def step(self) -> dict[str, Any]:
        """Run an epoch."""
        result = super().step()
        with (self._job.config.cache_dir / EPOCH_LOG).open("a") as log:
            log.write(f"{self._request.number} {result['epoch']}\n")
        time.sleep(PAUSE_SECONDS)
        return result


def main() -> None:
    """Launch the sweep of the settings file, or resume it if its folder exists."""
    search.tuning.tuner.FineTuneTrial = CountedTrial  # type: ignore[misc]
    config = SweepConfig.parse(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    paths = SweepPaths(config.results_dir / config.name)
    result = Sweep.existing(paths).resume() if paths.config.exists() else Sweep(config).run()
    sys.exit(1 if result.unfinished else 0)


if __name__ == "__main__":
    main()
