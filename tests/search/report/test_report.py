import json
import re
import shutil
from pathlib import Path

import pytest

from search import SweepResult
from search.cli.flags import config_of
from search.cli.parser import _parsed
from search.config import launch_words
from search.record import SweepPaths
from search.report import write_report


@pytest.fixture
def copied(sweep: SweepResult, tmp_path: Path) -> SweepPaths:
    shutil.copytree(sweep.paths.root, tmp_path / "copy")
    return SweepPaths(tmp_path / "copy")


@pytest.mark.slow
def test_a_launch_leaves_a_page_that_needs_no_network(sweep: SweepResult) -> None:
    assert sweep.report == sweep.paths.report
    page = sweep.paths.report.read_text(encoding="utf-8")
    for section in ("The search", "The final model", "The data", "Time and cost"):
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
def test_a_sweep_that_was_broken_off_has_a_page_of_what_there_is(copied: SweepPaths) -> None:
    shutil.rmtree(copied.retrained)
    copied.profile.unlink()
    page = write_report(copied).read_text(encoding="utf-8")
    assert "No model is retrained and tested yet" in page
    assert "The search" in page
    assert "The final model" not in page
    copied.journal.write_text("")
    assert "No trial has begun yet" in write_report(copied).read_text(encoding="utf-8")


@pytest.mark.slow
def test_where_the_images_are_gone_the_page_says_so(copied: SweepPaths, tmp_path: Path) -> None:
    facts = json.loads(copied.dataset.read_text())
    copied.dataset.write_text(json.dumps({**facts, "root": str(tmp_path / "gone")}))
    out = write_report(copied, tmp_path / "page.html")
    page = out.read_text(encoding="utf-8")
    assert "No image is shown" in page
    assert "data:image/svg" in page
    assert "data:image/jpeg" not in page


@pytest.mark.slow
def test_the_page_says_how_to_launch_the_sweep_again(sweep: SweepResult) -> None:
    args = _parsed(["launch", str(sweep.paths.root), "--no-retrain", "--asha.grace-epochs", "2"])
    config = config_of(args)
    words = launch_words(config)
    assert words == [str(sweep.paths.root), "--no-retrain", "--asha.grace-epochs", "2"]
    again = config_of(_parsed(["launch", *words]))
    assert again.model_copy(update={"name": config.name}) == config
    limited = config_of(_parsed(["launch", "d", "--time-budget", "1h", "--trials", "16"]))
    assert config_of(_parsed(["launch", *launch_words(limited)])).trials == 16
    assert "--max-epochs 3" in sweep.paths.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_classes_alike_in_number_are_not_compared(sweep: SweepResult) -> None:
    assert sweep.report is not None
    page = sweep.report.read_text()
    assert "Images of each class: 40 of every one." in page
    assert "1.0 times" not in page
