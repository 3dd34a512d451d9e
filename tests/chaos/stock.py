"""Stock script for comparison: `OptunaSearch` on a stored study, ASHA, and `Tuner.restore`.

python -m tests.chaos.stock ADDRESS FOLDER TRIALS SEED

Its trials train nothing: they sleep and write a checkpoint in each epoch, because the comparison is
only about what a restore recovers. When `Tuner.fit` returns, the script writes ``stock.json`` and
exits with status 0.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

EPOCHS = 6


def train(config: dict[str, Any]) -> None:
    """Trial that resumes from its checkpoint, if it has one."""
    start, checkpoint = 0, tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            start = json.loads((Path(folder) / "state.json").read_text())["epoch"]
    for epoch in range(start + 1, EPOCHS + 1):
        time.sleep(0.5)
        score = 0.9 - abs(config["unfreeze"] - 0.3) - 0.3 / epoch
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "state.json").write_text(json.dumps({"epoch": epoch}))
            kept = tune.Checkpoint.from_directory(folder)
            tune.report({"val_accuracy": score, "epoch": epoch}, checkpoint=kept)


def main() -> None:
    """Launch the sweep, or restore it if its folder exists."""
    address, folder, trials, seed = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    trainable = tune.with_resources(train, {"cpu": 1})
    if tune.Tuner.can_restore(str(folder / "sweep")):
        tuner = tune.Tuner.restore(
            str(folder / "sweep"), trainable=trainable, resume_unfinished=True, resume_errored=True
        )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
        search = OptunaSearch(
            metric="val_accuracy",
            mode="max",
            study_name="stock",
            storage=storage,
            seed=int(seed),
        )
        tuner = tune.Tuner(
            trainable,
            param_space={
                "unfreeze": tune.uniform(0.0, 1.0),
                "learning_rate": tune.loguniform(1e-3, 1e-2),
            },
            tune_config=tune.TuneConfig(
                metric="val_accuracy",
                mode="max",
                search_alg=search,
                scheduler=ASHAScheduler(time_attr="epoch", max_t=EPOCHS),
                num_samples=int(trials),
                max_concurrent_trials=3,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(folder),
                failure_config=tune.FailureConfig(max_failures=3),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                verbose=0,
            ),
        )
    results = tuner.fit()
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    states = [t.state.name for t in optuna.load_study(study_name="stock", storage=storage).trials]
    ended = {"results": len(results), "errors": results.num_errors, "optuna": states}
    (folder / "stock.json").write_text(json.dumps(ended))


if __name__ == "__main__":
    main()
