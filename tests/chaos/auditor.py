"""Audit of a finished sweep for faults. Reads the files directly, without code of `search`."""

import json
from collections import Counter
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

_ROUND = "epoch_"
"""Prefix of the attributes that hold a trial's rounds; it is older than rounds."""


def audit(sweep: Path, *, trials: int) -> list[str]:
    """Faults of a finished sweep that should have run ``trials`` trials; empty if it has none."""
    storage = JournalStorage(JournalFileBackend(str(sweep / "study.journal")))
    study = optuna.load_study(study_name="finesweep", storage=storage)
    launched = [trial for trial in study.trials if "params" in trial.user_attrs]
    faults = []
    if len(launched) != trials:
        faults.append(f"{len(launched)} trials instead of {trials}")
    faults += [
        f"trial {t.number} is still waiting" for t in study.trials if not t.state.is_finished()
    ]
    for trial in launched:
        faults += [f"trial {trial.number}: {fault}" for fault in _trial_faults(trial)]
        faults += [f"trial {trial.number}: {fault}" for fault in _curve_faults(trial, sweep)]
    again = [key for key, count in _round_entries(sweep).items() if count > 1]
    faults += [f"trial {number} has its {key} twice" for number, key in again]
    left = [file.name for file in (sweep / "checkpoints").iterdir()]
    if left:
        faults.append(f"checkpoints are left: {', '.join(left)}")
    if (sweep / "driver.json").exists():
        faults.append("driver.json is left, as if a driver were running")
    if not (sweep / "trials.parquet").exists():
        faults.append("trials.parquet is missing")
    return faults


def _trial_faults(trial: FrozenTrial) -> list[str]:
    """Contradictions between a trial's reports, its intermediate values and its state."""
    keys = [key for key in trial.user_attrs if key.startswith(_ROUND)]
    keys.sort(key=lambda key: int(key.removeprefix(_ROUND)))
    reports = [trial.user_attrs[key] for key in keys]
    faults = []
    if [report["round"] for report in reports] != list(range(1, len(reports) + 1)):
        faults.append(f"its rounds are {[report['round'] for report in reports]}")
    values = {report["round"]: report["val_accuracy"] for report in reports}
    if trial.intermediate_values != values:
        faults.append(f"Optuna has {trial.intermediate_values} instead of {values}")
    if trial.state is TrialState.FAIL:
        faults.append(f"it failed: {trial.user_attrs.get('error')}")
    elif not reports:
        faults.append("it ended without a round")
    elif (trial.state is TrialState.COMPLETE) != reports[-1]["is_last"]:
        faults.append(f"it is {trial.state.name} after round {len(reports)}")
    elif trial.state is TrialState.COMPLETE and trial.value != max(values.values()):
        faults.append(f"its value is {trial.value} instead of {max(values.values())}")
    return faults


def _curve_faults(trial: FrozenTrial, sweep: Path) -> list[str]:
    """Fault if the epochs in TensorBoard differ from those in the study."""
    (folder,) = (sweep / "tensorboard").glob(f"{trial.number:04d}-*")
    events = EventAccumulator(str(folder))
    events.Reload()
    steps = [event.step for event in events.Scalars("val_accuracy")]
    expected = sorted(trial.intermediate_values)
    return [] if steps == expected else [f"TensorBoard has {steps} instead of {expected}"]


def _round_entries(sweep: Path) -> Counter[tuple[int, str]]:
    """Number of times that the journal has each round, by trial id and attribute name."""
    lines = [json.loads(x) for x in (sweep / "study.journal").read_text("utf-8").splitlines()]
    return Counter(
        (line["trial_id"], key)
        for line in lines
        for key in line.get("user_attr", {})
        if key.startswith(_ROUND)
    )
