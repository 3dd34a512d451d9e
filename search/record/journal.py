"""Reads the study journal, the one source of truth about the trials of a sweep.

The journal is an append-only Optuna journal file, which `search.tuning.study` writes. Each trial
has its `TrialParams` and the `RoundReport` of every round as user attributes. Tables, reports and
TensorBoard files can be rebuilt from the journal.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from search.record.journal_file import JournalFile
from search.record.trials import Repeat, Status, TrialRecord
from spaces import EARLIER_VALUES, TrialParams
from trainables.models import ModelCost
from trainables.training import RoundReport

STUDY = "finesweep"
"""Name of the study in the journal."""
PARAMS_KEY, REPEAT_KEY, COST_KEY, ERROR_KEY = "params", "repeat", "footprint", "error"
UNUSED_KEY = "unused"
"""Names of a trial's user attributes."""
ROUND_KEY = "epoch_"
"""Prefix of the user attributes that hold the rounds of a trial, one each. The number of the round
follows, as four digits at least. Earlier versions had one round in each epoch, hence the name."""
ENDED_BY_KEY = "ended_by"
"""User attribute of the study: the budget or target that ended the search before all trials ran."""

STATUS_OF_STATE: Mapping[TrialState, Status] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


def read_trials(file: Path) -> list[TrialRecord]:
    """All trials of a journal file, ordered by number; an empty list if there is no file.

    Trials without parameters are left out: the driver was killed while it proposed them.
    """
    if not file.exists():
        return []
    logging.getLogger("optuna").setLevel(logging.WARNING)
    storage = JournalStorage(JournalFile(file))
    if not storage.get_all_studies():  # the driver was killed before it created the study
        return []
    return trial_records(optuna.load_study(study_name=STUDY, storage=storage))


def trial_records(study: optuna.Study) -> list[TrialRecord]:
    """The trials of an open study, ordered by number. Trials without parameters are left out."""
    return [_record(t) for t in study.get_trials(deepcopy=False) if PARAMS_KEY in t.user_attrs]


def _record(trial: FrozenTrial) -> TrialRecord:
    attrs = trial.user_attrs
    rounds = [key for key in attrs if key.startswith(ROUND_KEY)]
    rounds.sort(key=lambda key: int(key.removeprefix(ROUND_KEY)))
    return TrialRecord(
        number=trial.number,
        params=TrialParams.parse({**EARLIER_VALUES, **attrs[PARAMS_KEY]}),
        unused=frozenset(attrs.get(UNUSED_KEY, ())),
        status=STATUS_OF_STATE[trial.state],
        reports=tuple(RoundReport.from_dict(attrs[key]) for key in rounds),
        error=attrs.get(ERROR_KEY, ""),
        repeat=_repeat(attrs[REPEAT_KEY]) if REPEAT_KEY in attrs else None,
        model_cost=ModelCost(**attrs[COST_KEY]) if COST_KEY in attrs else None,
        ended=trial.datetime_complete,
    )


def _repeat(values: Mapping[str, Any]) -> Repeat:
    """A recorded repeat. Earlier versions had one round in each epoch, and recorded ``epochs``."""
    rounds = values["rounds"] if "rounds" in values else values["epochs"]
    return Repeat(values["of"], values["seed"], rounds, values.get("part"))
