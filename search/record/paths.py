"""`SweepPaths`: every file that a sweep leaves behind, one property each."""

from dataclasses import dataclass
from pathlib import Path

from spaces import ConfigError

CARD = "README.md"
"""The model card in an export's folder."""


@dataclass(frozen=True)
class SweepPaths:
    """The files below ``results/<sweep>/``; see ``results/README.md``."""

    root: Path

    @classmethod
    def existing(cls, sweep: str | Path, results_dir: Path) -> "SweepPaths":
        """A sweep that was launched: by its folder, or by its name below ``results_dir``."""
        for root in (Path(sweep), results_dir / sweep):
            if (root / "sweep.json").is_file():
                return cls(root.absolute())
        names = sorted(p.parent.name for p in results_dir.glob("*/sweep.json"))
        there = f"there are {', '.join(names[-5:])}" if names else "there are none yet"
        raise ConfigError(f"No sweep {str(sweep)!r} in {results_dir}; {there}.")

    @property
    def toml(self) -> Path:
        """The settings as given."""
        return self.root / "sweep.toml"

    @property
    def config(self) -> Path:
        """Every setting, as it was asked for."""
        return self.root / "sweep.json"

    @property
    def resolved(self) -> Path:
        """What the settings came to: see `search.record.stored_config.Resolved`."""
        return self.root / "resolved.json"

    @property
    def space(self) -> Path:
        """The search space as it was used."""
        return self.root / "space.json"

    @property
    def points(self) -> Path:
        """The points that are tried first, every field filled in."""
        return self.root / "points.json"

    @property
    def environment(self) -> Path:
        """Versions, hardware, commit."""
        return self.root / "environment.json"

    @property
    def dataset(self) -> Path:
        """Classes, counts, fingerprint."""
        return self.root / "dataset.json"

    @property
    def split(self) -> Path:
        """Which image is in which split."""
        return self.root / "split.csv"

    @property
    def bad_images(self) -> Path:
        """Images left out, and images that look odd."""
        return self.root / "bad_images.csv"

    @property
    def journal(self) -> Path:
        """Optuna's journal: every trial, epoch and state."""
        return self.root / "study.journal"

    @property
    def driver(self) -> Path:
        """Who runs the sweep, while somebody does."""
        return self.root / "driver.json"

    @property
    def lock(self) -> Path:
        """Held by that process."""
        return self.root / "driver.lock"

    @property
    def log(self) -> Path:
        """What happened when."""
        return self.root / "sweep.log"

    @property
    def profile(self) -> Path:
        """Where the time went."""
        return self.root / "profile.json"

    @property
    def ray(self) -> Path:
        """Ray Tune's own files."""
        return self.root / "ray"

    @property
    def checkpoints(self) -> Path:
        """Folder of what running trials would go on from."""
        return self.root / "checkpoints"

    @property
    def answers(self) -> Path:
        """Folder of the best trials' answers to the validation images."""
        return self.root / "answers"

    @property
    def failures(self) -> Path:
        """Folder of what is known of failures."""
        return self.root / "failures"

    def traceback(self, trial_id: str) -> Path:
        """A trial's failures, each with its traceback."""
        return self.failures / f"{trial_id}.txt"

    @property
    def tensorboard(self) -> Path:
        """Curves and HParams."""
        return self.root / "tensorboard"

    def tensorboard_run(self, trial_id: str, backbone: str, repeats: str = "") -> Path:
        """A trial's own, by the name that TensorBoard shows."""
        again = f"-repeats-{repeats}" if repeats else ""
        return self.tensorboard / f"{trial_id}-{backbone}{again}"

    @property
    def trials(self) -> Path:
        """One row a trial."""
        return self.root / "trials.parquet"

    @property
    def trials_csv(self) -> Path:
        """The same for spreadsheets."""
        return self.root / "trials.csv"

    @property
    def epochs(self) -> Path:
        """One row per trial and epoch."""
        return self.root / "epochs.parquet"

    @property
    def leaderboard(self) -> Path:
        """The trials, ranked, for people."""
        return self.root / "leaderboard.md"

    @property
    def report(self) -> Path:
        """What the sweep found, as a page."""
        return self.root / "report.html"

    @property
    def retrained(self) -> Path:
        """Folder of the final model."""
        return self.root / "retrained"

    @property
    def metrics(self) -> Path:
        """The final model's test."""
        return self.retrained / "metrics.json"

    @property
    def predictions(self) -> Path:
        """The final model's answer to every test image."""
        return self.retrained / "predictions.parquet"

    @property
    def features(self) -> Path:
        """What its classifier sees of every test image."""
        return self.retrained / "features.npy"

    @property
    def final_weights(self) -> Path:
        """The final model's state dict; of an ensemble that of the winner."""
        return self.member_weights(0)

    def member_weights(self, member: int) -> Path:
        """The state dict of one of its members, counted from 0."""
        return self.retrained / (f"model-{member}.safetensors" if member else "model.safetensors")

    @property
    def export(self) -> Path:
        """Folder of what is handed over."""
        return self.root / "export"

    @property
    def card(self) -> Path:
        """The export's model card; there once the export is whole."""
        return self.export / CARD
