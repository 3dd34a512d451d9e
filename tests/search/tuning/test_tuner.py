from pathlib import Path
from typing import Any

import pytest

from search import Sweep, SweepConfig
from search.planning import complete_plan, prepare_plan
from search.ranking import select_winner
from search.record import SweepPaths, read_trials
from search.trial import TrialJob
from search.tuning import Resources, run_trials
from spaces import RunError
from trainables.data import DecodedImages
from trainables.models import Weights

pytestmark = pytest.mark.slow


def test_a_search_with_one_worker_and_one_seed_is_reproducible(
    settings: dict[str, Any], ray_cluster: None
) -> None:
    runs = []
    for name in ("first", "second"):
        values = {**settings, "name": name, "concurrent": 1, "trials": 3, "retrain": False}
        trials = read_trials(Sweep(SweepConfig.parse(values)).run().paths.journal)
        losses = [[(r.train_loss, r.val_loss) for r in t.reports] for t in trials]
        runs.append(([t.params for t in trials], [t.status for t in trials], losses))
    assert runs[0] == runs[1]


def test_a_sweep_whose_trials_all_crash_alike_ends_and_keeps_their_tracebacks(
    settings: dict[str, Any], ray_cluster: None, tmp_path: Path
) -> None:
    """Trials run on both machines of the cluster; both report the same missing file."""
    config = SweepConfig.parse({**settings, "trials": 9, "points": None, "concurrent": 3})
    plan = complete_plan(prepare_plan(config))
    config = plan.config
    paths = SweepPaths(tmp_path / "crash")
    paths.root.mkdir()
    deleted = DecodedImages(tmp_path / "deleted.npy")
    stores = dict.fromkeys(plan.pixel_formats, deleted)
    removed = tmp_path / "removed.safetensors"
    removed.write_bytes(b"weights")
    weights = {name: Weights.from_file(name, "a file", removed) for name in plan.weights}
    removed.unlink()
    job = TrialJob(config, plan.survey.dataset, stores, weights, on_gpu=False)
    with pytest.raises(RunError, match=r"failed for one cause.*removed.safetensors.*resume"):
        run_trials(job, plan, paths, Resources(1, True, 0, 3))
    trials = read_trials(paths.journal)
    assert 3 <= len(trials) <= 6, "those that ran beside the third"
    failed = [t for t in trials if t.status == "failed"]
    assert len(failed) >= 3
    assert {t.status for t in trials} <= {"failed", "running"}, "one may wait for its second try"
    for trial in failed:
        traceback = Path(trial.error.rpartition("; see ")[2]).read_text()
        assert traceback.count("removed.safetensors is gone") == 2, "tried twice"
        assert 'search/trial/trainable.py", line' in traceback
    with pytest.raises(RunError, match="No trial can win"):
        select_winner(trials, config.metric)
