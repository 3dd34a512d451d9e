import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from search import SweepResult
from tests.chaos.auditor import audit
from tests.chaos.harness import Machines, repeated_epochs, run_under_kills, settings_file

pytestmark = pytest.mark.slow


@pytest.fixture
def machines() -> Iterator[Machines]:
    started = Machines()
    yield started
    started.close()


def test_a_sweep_whose_driver_workers_and_machines_are_killed_loses_nothing(
    digits: Path, machines: Machines, tmp_path: Path
) -> None:
    """Short version of `python -m tests.chaos`."""
    kills = ["driver", "worker", "node", "driver"]
    file = settings_file(tmp_path, data=digits, address=machines.address, seed=0, trials=8)
    command = ["-m", "tests.chaos.driver", str(file)]
    log = tmp_path / "stderr.txt"
    pause_seconds = (1.0, 8.0)  # a driver needs about 5 s to start its trials
    record = run_under_kills(
        machines, command, kills, log=log, chance=random.Random(0), pause_seconds=pause_seconds
    )
    assert not record.lost, record.stderr
    assert audit(tmp_path / "sweep", trials=8) == []
    assert repeated_epochs(tmp_path / "cache") <= 3 * len(kills), (
        "one epoch of each trial that was running"
    )


def test_the_auditor_finds_no_faults_in_an_undisturbed_sweep(sweep: SweepResult) -> None:
    assert audit(sweep.paths.root, trials=5) == []


def test_the_auditor_finds_every_kind_of_fault(sweep: SweepResult, tmp_path: Path) -> None:
    root = tmp_path / "sweep"
    shutil.copytree(sweep.paths.root, root)
    assert audit(root, trials=6) == ["5 trials instead of 6"]
    (root / "checkpoints" / "0003.pt").touch()
    assert audit(root, trials=5) == ["checkpoints are left: 0003.pt"]
    (root / "checkpoints" / "0003.pt").unlink()
    journal = root / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    epoch = next(line for line in lines if '"epoch_0001"' in line)
    number = json.loads(epoch)["trial_id"]
    for spoilt, wrong in (
        ([*lines, epoch], f"trial {number} has its epoch_0001 twice"),
        ([line for line in lines if line != epoch], f"trial {number}: its rounds are "),
        (lines[:-1], "is still waiting"),
    ):
        journal.write_text("".join(spoilt))
        assert any(wrong in fault for fault in audit(root, trials=5)), wrong
