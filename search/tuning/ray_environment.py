"""Settings of Ray Tune, made by environment variables of the driver's process."""

import logging
import os

from search.tuning.tune_internals import (
    keep_actors_for_later_trials,
    kill_trials_that_are_not_needed,
    reuse_prestarted_workers,
)


def configure_tune(*, max_pending_trials: int) -> None:
    """Configure Tune for the search. To be called before a `Tuner` is made."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new output prints a banner at any verbosity
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max_pending_trials)  # `Placement` sets the limit
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # `interrupts` handles signals
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "inf"  # a resume reads the journal
    os.environ["RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE"] = "1"  # else Tune retries by itself
    reuse_prestarted_workers()
    kill_trials_that_are_not_needed()
    keep_actors_for_later_trials()


def silence_tune() -> None:
    """Keep Tune's error messages out of the log. Tracebacks are in the folder ``failures``."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
