import shutil
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from search import SweepResult
from search.record import SweepPaths, read_trials
from search.report import log_validation_figures


@pytest.mark.slow
def test_the_three_best_trials_have_figures(sweep: SweepResult, tmp_path: Path) -> None:
    paths = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "copy")))
    shutil.rmtree(paths.tensorboard)
    log_validation_figures(paths, read_trials(paths.journal))
    runs = sorted(paths.tensorboard.iterdir())
    assert len(runs) == 3
    tags = EventAccumulator(str(runs[0])).Reload().Tags()["images"]
    assert "validation/confusion" in tags
    assert set(tags) <= {"validation/confusion", "validation/mistakes"}
