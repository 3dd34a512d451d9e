import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search import SweepResult
from search.cli import main
from search.cli.output import print_comparison
from search.ranking import Comparison, compare_sweeps
from search.record import SweepPaths
from spaces import ConfigError
from trainables.evaluation import Predictions


@pytest.fixture
def other(sweep: SweepResult, tmp_path: Path) -> SweepPaths:
    """A copy of the sweep whose final model classifies three more images wrongly."""
    shutil.copytree(sweep.paths.root, tmp_path / "other")
    paths = SweepPaths(tmp_path / "other")
    table = pd.read_parquet(paths.predictions)
    right = table.index[table["label"] == table["predicted"]][:3]
    columns = [name for name in table if name.startswith("p.")]
    table.loc[right, columns] = np.roll(table.loc[right, columns].to_numpy(), 1, axis=1)
    write_test(paths, table)
    return paths


def write_test(paths: SweepPaths, table: pd.DataFrame) -> None:
    """Write the predictions of a final model, and their accuracy."""
    table.to_parquet(paths.predictions)
    values = json.loads(paths.metrics.read_text())
    predictions = Predictions.read(paths.predictions, values["test"]["classes"])
    values["test"]["accuracy"] = predictions.correct.mean()
    paths.metrics.write_text(json.dumps(values))


@pytest.mark.slow
def test_final_models_are_compared_on_the_same_images(
    sweep: SweepResult, other: SweepPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    compared = compare_sweeps([sweep.paths, other])
    (test,) = compared.mcnemar_tests
    assert (test.first, test.second, test.only_first, test.only_second) == ("digits", "other", 3, 0)
    assert compared.sweeps["sweep"].tolist() == ["digits", "other"]
    assert len(compared.trials) == 10
    print_comparison(compared)
    printed = capsys.readouterr().out
    assert "only digits is right on 3 and only other on 0: no significant difference" in printed
    assert "p = 0.25" in printed


@pytest.mark.slow
def test_sweeps_with_the_same_name_are_distinguished_by_their_folders(
    sweep: SweepResult, other: SweepPaths
) -> None:
    namesake = SweepPaths(other.root.parent / "elsewhere" / "digits")
    namesake.root.parent.mkdir()
    other.root.rename(namesake.root)
    compared = compare_sweeps([sweep.paths, namesake])
    (test,) = compared.mcnemar_tests
    assert (test.first, test.second) == (str(sweep.paths.root), str(namesake.root))
    assert set(compared.trials["sweep"]) == {test.first, test.second}


@pytest.mark.slow
def test_all_parameters_that_vary_in_the_sweep_are_shown(
    sweep: SweepResult, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those that do not vary among the trials that are shown."""
    where = ["--results-dir", str(sweep.paths.root.parent)]
    with pytest.raises(SystemExit):
        main(["compare", "digits", "--top", "1", *where])
    printed = capsys.readouterr().out
    assert "unfreeze" in printed
    assert "backbone" in printed


@pytest.mark.slow
def test_models_tested_with_other_labels_are_not_compared(
    sweep: SweepResult, other: SweepPaths
) -> None:
    table = pd.read_parquet(other.predictions)
    table.loc[0, "label"] = "seven" if table.loc[0, "label"] == "one" else "one"
    write_test(other, table)
    assert compare_sweeps([sweep.paths, other]).mcnemar_tests == ()


@pytest.mark.slow
def test_models_tested_on_other_images_are_not_compared(
    sweep: SweepResult, other: SweepPaths
) -> None:
    split = pd.read_csv(other.split)
    split.loc[split["split"] == "test", "digest"] += "x"
    split.to_csv(other.split, index=False)
    facts = json.loads(other.dataset.read_text())
    other.dataset.write_text(json.dumps({**facts, "fingerprint": "another"}))
    compared = compare_sweeps([sweep.paths, other])
    assert compared.mcnemar_tests == ()
    assert "different images" in compared.warnings[0]


@pytest.mark.slow
def test_trials_are_filtered_by_an_expression_and_a_wrong_one_is_refused(
    sweep: SweepResult,
) -> None:
    def kept(where: str) -> Comparison:
        return compare_sweeps([sweep.paths], where=where)

    found = kept("status == 'completed' and unfreeze > 0.1").trials
    assert 0 < len(found) <= 5
    assert set(found["status"]) == {"completed"}
    assert set(kept("best_epoch > 1").trials["best_epoch"]) >= {2}
    with pytest.raises(ConfigError, match="'unfreeze > 2' is true for no trial"):
        kept("unfreeze > 2")
    for wrong in ("unfrozen > 1", "unfreeze >", "1 +", "1 / 0", "lambda: 1"):
        with pytest.raises(ConfigError, match="can't be evaluated"):
            kept(wrong)
    for number in ("unfreeze", "epochs", "1"):
        with pytest.raises(ConfigError, match="neither true nor false"):
            kept(number)
