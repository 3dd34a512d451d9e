"""Reads what a sweep left behind and says which promise is broken. Trusts none of our readers."""

import json
from collections import Counter
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

_EPOCH = "epoch_"


def audit(sweep: Path, *, trials: int) -> list[str]:
    """What is wrong with a sweep that says it has run ``trials``; nothing if all is well."""
    storage = JournalStorage(JournalFileBackend(str(sweep / "study.journal")))
    study = optuna.load_study(study_name="finesweep", storage=storage)
    begun = [trial for trial in study.trials if "params" in trial.user_attrs]
    wrong = []
    if len(begun) != trials:
        wrong.append(f"{len(begun)} trials instead of {trials}")
    wrong += [
        f"trial {t.number} is still waiting" for t in study.trials if not t.state.is_finished()
    ]
    for trial in begun:
        wrong += [f"trial {trial.number}: {fault}" for fault in _faults(trial)]
        wrong += [f"trial {trial.number}: {fault}" for fault in _other_curve(trial, sweep)]
    again = [key for key, count in _written(sweep).items() if count > 1]
    wrong += [f"trial {number} has its {key} twice" for number, key in again]
    left = [file.name for file in (sweep / "checkpoints").iterdir()]
    if left:
        wrong.append(f"checkpoints are left: {', '.join(left)}")
    if (sweep / "driver.json").exists():
        wrong.append("somebody still drives it")
    if not (sweep / "trials.parquet").exists():
        wrong.append("there are no tables")
    return wrong


def _faults(trial: FrozenTrial) -> list[str]:
    """What of a trial does not fit together in the study."""
    keys = sorted(key for key in trial.user_attrs if key.startswith(_EPOCH))
    reports = [trial.user_attrs[key] for key in keys]
    wrong = []
    if [report["epoch"] for report in reports] != list(range(1, len(reports) + 1)):
        wrong.append(f"its epochs are {[report['epoch'] for report in reports]}")
    values = {report["epoch"]: report["val_accuracy"] for report in reports}
    if trial.intermediate_values != values:
        wrong.append(f"Optuna has {trial.intermediate_values} instead of {values}")
    if trial.state is TrialState.FAIL:
        wrong.append(f"it failed: {trial.user_attrs.get('error')}")
    elif not reports:
        wrong.append("it ended without an epoch")
    elif (trial.state is TrialState.COMPLETE) != reports[-1]["is_last"]:
        wrong.append(f"it is {trial.state.name} after epoch {len(reports)}")
    elif trial.state is TrialState.COMPLETE and trial.value != max(values.values()):
        wrong.append(f"its value is {trial.value} instead of {max(values.values())}")
    return wrong


def _other_curve(trial: FrozenTrial, sweep: Path) -> list[str]:
    """TensorBoard must show what the study has."""
    (folder,) = (sweep / "tensorboard").glob(f"{trial.number:04d}-*")
    events = EventAccumulator(str(folder))
    events.Reload()
    steps = [event.step for event in events.Scalars("val_accuracy")]
    wanted = sorted(trial.intermediate_values)
    return [] if steps == wanted else [f"TensorBoard has {steps} instead of {wanted}"]


def _written(sweep: Path) -> Counter[tuple[int, str]]:
    """How often each epoch of each trial was written into the journal."""
    lines = [json.loads(x) for x in (sweep / "study.journal").read_text("utf-8").splitlines()]
    return Counter(
        (line["trial_id"], key)
        for line in lines
        for key in line.get("user_attr", {})
        if key.startswith(_EPOCH)
    )
