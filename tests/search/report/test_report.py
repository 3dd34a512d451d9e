import json
import re
import shutil
from pathlib import Path

import pytest

from search import SweepResult
from search.cli.flags import config_from_arguments
from search.cli.parser import parse_arguments
from search.config import launch_arguments
from search.record import SweepPaths, read_trials
from search.report import write_report


@pytest.fixture
def copied(sweep: SweepResult, tmp_path: Path) -> SweepPaths:
    shutil.copytree(sweep.paths.root, tmp_path / "copy")
    return SweepPaths(tmp_path / "copy")


@pytest.mark.slow
def test_a_launch_leaves_a_page_that_needs_no_network(sweep: SweepResult) -> None:
    assert sweep.report == sweep.paths.report
    page = sweep.paths.report.read_text(encoding="utf-8")
    for section in ("The search", "The final model", "The data", "Time, cost and reproduction"):
        assert section in page
    assert sweep.final is not None
    assert f"{sweep.final.test.accuracy:.4f}" in page
    loaded = re.findall(r'(?:src|href)="([^"]*)', page)
    assert all(address.startswith(("data:", "#")) for address in loaded)
    assert "<script" not in page


@pytest.mark.slow
def test_every_picture_has_a_text_alternative(sweep: SweepResult) -> None:
    page = sweep.paths.report.read_text(encoding="utf-8")
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) > 15
    assert all(len(re.findall(r'alt="([^"]+)"', picture)[0]) > 10 for picture in pictures)


@pytest.mark.slow
def test_an_interrupted_sweep_has_a_report_of_its_results_so_far(copied: SweepPaths) -> None:
    shutil.rmtree(copied.retrained)
    copied.profile.unlink()
    page = write_report(copied, read_trials(copied.journal)).read_text(encoding="utf-8")
    assert "No model has been retrained and tested yet" in page
    assert "The search" in page
    assert "The final model" not in page
    assert "No trial has begun yet" in write_report(copied, []).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_report_says_if_the_images_are_missing(copied: SweepPaths, tmp_path: Path) -> None:
    facts = json.loads(copied.dataset.read_text())
    copied.dataset.write_text(json.dumps({**facts, "root": str(tmp_path / "gone")}))
    out = write_report(copied, read_trials(copied.journal), tmp_path / "page.html")
    page = out.read_text(encoding="utf-8")
    assert "No image is shown" in page
    assert "data:image/svg" in page
    assert "data:image/jpeg" not in page


@pytest.mark.slow
def test_the_page_says_how_to_launch_the_sweep_again(sweep: SweepResult) -> None:
    args = parse_arguments(
        ["launch", str(sweep.paths.root), "--no-retrain", "--asha.grace-epochs", "2"]
    )
    config = config_from_arguments(args)
    words = launch_arguments(config)
    assert words == [str(sweep.paths.root), "--asha.grace-epochs", "2", "--no-retrain"]
    again = config_from_arguments(parse_arguments(["launch", *words]))
    assert again.model_copy(update={"name": config.name}) == config
    limited = config_from_arguments(
        parse_arguments(["launch", "d", "--time-budget", "1h", "--trials", "16"])
    )
    assert (
        config_from_arguments(parse_arguments(["launch", *launch_arguments(limited)])).trials == 16
    )
    assert "--max-epochs 3" in sweep.paths.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_equally_large_classes_are_not_compared(sweep: SweepResult) -> None:
    assert sweep.report is not None
    page = sweep.report.read_text()
    assert "Images per class: 40 in each." in page
    assert "1.0 times" not in page
