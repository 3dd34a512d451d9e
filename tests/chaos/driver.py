"""A real sweep that counts the epochs it runs, launched or resumed: what the harness kills.

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
from search.trial import NUMBER, FineTuneTrial

PAUSE_SECONDS = 0.3
"""Added to each epoch, so that there is somebody to kill."""
COUNTED = "epochs.log"


class CountedTrial(FineTuneTrial):
    """Notes every epoch that it finished, whoever may hear of it."""

    def step(self) -> dict[str, Any]:
        """Run an epoch."""
        result = super().step()
        with (self._job.config.cache_dir / COUNTED).open("a") as log:
            log.write(f"{self._asked[NUMBER]} {result['epoch']}\n")
        time.sleep(PAUSE_SECONDS)
        return result


def main() -> None:
    """Launch the sweep of the settings, or resume it if it is there."""
    search.tuning.tuner.FineTuneTrial = CountedTrial  # type: ignore[misc]
    config = SweepConfig.parse(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    paths = SweepPaths(config.results_dir / config.name)
    result = Sweep.existing(paths).resume() if paths.config.exists() else Sweep(config).run()
    sys.exit(1 if result.unfinished else 0)


if __name__ == "__main__":
    main()
