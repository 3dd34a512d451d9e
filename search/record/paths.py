"""`SweepPaths`: the path of every file and folder that a sweep writes."""

from dataclasses import dataclass
from pathlib import Path

from spaces import ConfigError
from trainables.replacement import staging_folder

MODEL_CARD = "README.md"
"""File name of the model card in an export's folder."""


@dataclass(frozen=True)
class SweepPaths:
    """Paths below ``results/<sweep>/``, described in ``results/README.md``.

    This class creates no files.
    """

    root: Path
    is_staged: bool = False
    """Whether `retrained` and `export` are those of a new final model that is not in place yet."""

    @classmethod
    def existing(cls, sweep: str | Path, results_dir: Path) -> "SweepPaths":
        """The paths of a launched sweep, given by its folder or by its name below ``results_dir``.

        Raises `ConfigError` if there is no such sweep.
        """
        for root in (Path(sweep), results_dir / sweep):
            if (root / "sweep.json").is_file():
                return cls(root.absolute())
        names = sorted(p.parent.name for p in results_dir.glob("*/sweep.json"))
        there = f"existing sweeps: {', '.join(names[-5:])}" if names else "there are none yet"
        raise ConfigError(f"No sweep {str(sweep)!r} in {results_dir}; {there}.")

    @property
    def given_settings(self) -> Path:
        """Copy of the settings file that was given with ``--config``."""
        return self.root / "sweep.toml"

    @property
    def config(self) -> Path:
        """Every setting as the user gave it. A folder with this file is a sweep."""
        return self.root / "sweep.json"

    @property
    def resolved(self) -> Path:
        """Settings that a launch resolved (`search.record.stored_config.ResolvedSettings`)."""
        return self.root / "resolved.json"

    @property
    def space(self) -> Path:
        """Search space of the sweep."""
        return self.root / "space.json"

    @property
    def initial_points(self) -> Path:
        """Initial points, with the value of every field.

        They are tried before the sampler proposes any.
        """
        return self.root / "points.json"

    @property
    def environment(self) -> Path:
        """Versions, hardware, commit, hashes of the pretrained weights."""
        return self.root / "environment.json"

    @property
    def dataset(self) -> Path:
        """Classes, image counts and fingerprint of the data set."""
        return self.root / "dataset.json"

    @property
    def split(self) -> Path:
        """Every image with its label and its split."""
        return self.root / "split.csv"

    @property
    def bad_images(self) -> Path:
        """Images that were left out, and images that were kept but look wrong, with the reason."""
        return self.root / "bad_images.csv"

    @property
    def journal(self) -> Path:
        """Optuna's journal: every trial with its rounds and its state."""
        return self.root / "study.journal"

    @property
    def mirrored_by(self) -> Path:
        """A line for every process that has kept the copy in an object store up to date."""
        return self.root / "mirrored_by.txt"

    @property
    def driver(self) -> Path:
        """Id and host of the process that runs the sweep.

        The process removes this file when it ends, unless it is killed.
        """
        return self.root / "driver.json"

    @property
    def driver_lock(self) -> Path:
        """Lock file of the process that runs the sweep."""
        return self.root / "driver.lock"

    @property
    def final_model_lock(self) -> Path:
        """Lock file of the process that makes a final model."""
        return self.root / "final_model.lock"

    @property
    def mlflow(self) -> Path:
        """Id of the sweep in MLflow, and the experiment that has its runs."""
        return self.root / "mlflow.json"

    @property
    def log(self) -> Path:
        """Log of all runs of the sweep."""
        return self.root / "sweep.log"

    @property
    def profile(self) -> Path:
        """Wall time by stage, of the last run that trained or exported."""
        return self.root / "profile.json"

    @property
    def ray(self) -> Path:
        """Folder of Ray Tune's own files. Finesweep reads none of them."""
        return self.root / "ray"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints of unfinished trials."""
        return self.root / "checkpoints"

    @property
    def validation_logits(self) -> Path:
        """Folder of the best trials' logits on the validation images."""
        return self.root / "answers"

    @property
    def failures(self) -> Path:
        """Folder of tracebacks of failed trials."""
        return self.root / "failures"

    def traceback(self, trial_id: str) -> Path:
        """Tracebacks of one trial, one for each of its failures."""
        return self.failures / f"{trial_id}.txt"

    @property
    def tensorboard(self) -> Path:
        """Log folder for TensorBoard: learning curves and hyperparameters."""
        return self.root / "tensorboard"

    def tensorboard_run(self, trial_id: str, backbone: str, repeats: str = "") -> Path:
        """Log folder of one trial. TensorBoard shows the folder's name as the name of the run.

        ``repeats`` is the id of the trial that this one repeats; empty for a trial of the search.
        """
        suffix = f"-repeats-{repeats}" if repeats else ""
        return self.tensorboard / f"{trial_id}-{backbone}{suffix}"

    @property
    def trials(self) -> Path:
        """Table of one row per trial."""
        return self.root / "trials.parquet"

    @property
    def trials_csv(self) -> Path:
        """The table of `trials` as CSV, for spreadsheets."""
        return self.root / "trials.csv"

    @property
    def epochs(self) -> Path:
        """Table of one row per trial and round."""
        return self.root / "epochs.parquet"

    @property
    def leaderboard(self) -> Path:
        """Ranking of the trials, as a Markdown table."""
        return self.root / "leaderboard.md"

    @property
    def report(self) -> Path:
        """Report of the sweep: one HTML page."""
        return self.root / "report.html"

    @property
    def staged(self) -> "SweepPaths":
        """The same paths, but with `retrained` and `export` of a new final model."""
        return SweepPaths(self.root, is_staged=True)

    @property
    def final_model(self) -> Path:
        """Folder that holds `retrained` and `export`."""
        return staging_folder(self.root) if self.is_staged else self.root

    @property
    def retrained(self) -> Path:
        """Folder of the retrained model and its results on the test images."""
        return self.final_model / "retrained"

    @property
    def metrics(self) -> Path:
        """Members and test metrics of the final model (`search.record.FinalModel`)."""
        return self.retrained / "metrics.json"

    @property
    def predictions(self) -> Path:
        """Predicted probabilities of every test image."""
        return self.retrained / "predictions.parquet"

    @property
    def features(self) -> Path:
        """The winner's pre-logits features of every test image, ``(n, features)``."""
        return self.retrained / "features.npy"

    @property
    def checked_images(self) -> Path:
        """The resized test images that exports are compared on, ``(n, h, w, 3)`` uint8."""
        return self.retrained / "images.npy"

    @property
    def final_weights(self) -> Path:
        """State dict of the final model, or of its winner if the final model is an ensemble."""
        return self.member_weights(0)

    def member_weights(self, member: int) -> Path:
        """State dict of one member of the ensemble; member 0 is the winner."""
        return self.retrained / (f"model-{member}.safetensors" if member else "model.safetensors")

    @property
    def export(self) -> Path:
        """Folder of the exported model."""
        return self.final_model / "export"

    @property
    def model_card(self) -> Path:
        """Model card of the export. It is written last: if it exists, the export is complete."""
        return self.export / MODEL_CARD
