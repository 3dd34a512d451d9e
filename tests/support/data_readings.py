"""Data sources as people have them, and a table of what is understood or said of each.

``python -m tests.support.data_readings`` writes the table to results/benchmarks/readings.md.
"""

import argparse
import importlib.util
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest.mock import patch

from search.cli.flags import add_setting_flags, settings_from_flags
from search.config import SweepConfig, overlay
from spaces import UserError
from tests.support import archive_readings, folder_readings, image_readings, table_readings
from tests.support.reading_case import Case
from tests.support.reading_faults import Fault, all_words, faults_of, in_words
from trainables.data import Survey, survey_images
from trainables.images import decoding as decoding

TABLE = Path(__file__).parents[2] / "results" / "benchmarks" / "readings.md"
"""File of the table."""
CASES = [
    *folder_readings.CASES,
    *table_readings.CASES,
    *archive_readings.CASES,
    *image_readings.CASES,
]

NOT_YET: dict[str, str] = {}
"""Cases that are not right yet, but told and never silently wrong: the reason by the name."""

LONGEST = 600
"""Largest number of characters of a sentence."""
_WAY_OUT = re.compile(
    r"--\w|\b(add|call|check|choose|convert|copy|correct|delete|download|drop|fill|fix|fetch|give|"
    r"install|keep|label|leave|log in|make|merge|move|name|needs|pass|point|pull|put|remove|rename|"
    r"repair|replace|run|save|set|unpack|use|write)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reading:
    """What a source led to: a survey, or a sentence."""

    verdict: Literal["understood", "said"]
    text: str
    """The survey in words, or the sentence."""
    faults: tuple[Fault, ...] = ()
    """Everything that is wrong, by the truth of the case."""

    @property
    def is_silently_wrong(self) -> bool:
        """Whether something is wrong and nothing tells of it."""
        return any(fault.silent for fault in self.faults)


def can_be_tried(case: Case) -> bool:
    """Whether the package that the case needs is installed."""
    return not case.needs or importlib.util.find_spec(case.needs) is not None


def read(case: Case, folder: Path) -> Reading:
    """Prepare a case in an empty ``folder``, read its data, and judge what comes of it."""
    truth = case.prepare(folder)
    try:
        with _inside(folder), _without(case.without):
            survey = _survey(case.words, folder / "cache")
    except UserError as error:
        text = _without_place(str(error), folder)
        return Reading("said", text, tuple(_faults_of_sentence(case, text)))
    faults = faults_of(case, survey, truth, folder)
    if not re.search(case.says, all_words(survey), re.IGNORECASE):
        faults.append(Fault(f"nothing says {case.says!r}"))
    return Reading("understood", _without_place(in_words(survey), folder), tuple(faults))


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    working_directory = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(working_directory)


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Hide a package, as if it were not installed."""
    hidden = {package: None} if package else {}
    decoding._register_heif.cache_clear()
    with patch.dict(sys.modules, hidden):
        yield
    decoding._register_heif.cache_clear()


def _survey(words: str, cache: Path) -> Survey:
    """Survey of the data that the words of a command name."""
    parser = argparse.ArgumentParser()
    add_setting_flags(parser, data_is_positional=True)
    settings = settings_from_flags(parser.parse_args(words.split()))
    config = SweepConfig.parse(overlay({}, settings))
    return survey_images(config.data, cache=cache, options=config.read_options)


def _faults_of_sentence(case: Case, text: str) -> Iterator[Fault]:
    """Faults of a refusal. None of them is silent."""
    if case.answer == "read":
        yield Fault("it should have been read", silent=False)
    if len(text) > LONGEST:
        yield Fault(f"the sentence has {len(text)} characters", silent=False)
    if "Traceback" in text or "Error(" in text:
        yield Fault("the sentence has a traceback", silent=False)
    if not _WAY_OUT.search(text):
        yield Fault("the sentence names no way out", silent=False)
    if case.answer != "read" and not re.search(case.says, text, re.IGNORECASE):
        yield Fault(f"the sentence does not say {case.says!r}", silent=False)


def _without_place(text: str, folder: Path) -> str:
    for place in (str(folder.resolve()), str(folder)):
        text = text.replace(f"{place}/", "").replace(place, ".")
    return text


def tree(case: Case) -> str:
    """Files of a case in a few words: folder, number and suffix."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        case.prepare(folder)
        counts = Counter(
            (str(file.parent.relative_to(folder)), file.suffix.lower()[:8])
            for file in sorted(folder.rglob("*"))
            if not file.is_dir() and file.relative_to(folder).parts[0] in ("d", "d.png")
        )
    parts = [f"{parent}: {n} {suffix or 'files'}" for (parent, suffix), n in counts.items()]
    return "; ".join(parts[:4]) + (f"; and {len(parts) - 4} more" if len(parts) > 4 else "")


def row(case: Case, reading: Reading) -> str:
    """Row of the table for one case."""
    mark = "yes" if case.was_silently_wrong else ""
    cells = [case.name, tree(case) or "nothing", f"`{case.words}`"]
    cells += [f"**{reading.verdict}**: {reading.text}", mark]
    printable = [cell.encode("utf-8", "backslashreplace").decode() for cell in cells]
    lines = [re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in printable]
    return f"| {' | '.join(lines)} |"


def as_table(readings: dict[str, tuple[Case, Reading]]) -> str:
    """Markdown page with a table of cases, and what was understood or said of each."""
    verdicts = Counter(reading.verdict for _, reading in readings.values())
    before = sum(case.was_silently_wrong for case, _ in readings.values())
    lines = [
        "# Images as people have them",
        "",
        f"{len(readings)} layouts, tables, formats and names: {verdicts['understood']} are "
        f"understood, and {verdicts['said']} lead to a sentence. None is silently wrong: every "
        "image that is used has its true label and split, and everything that is not used is "
        f"named. {before} were silently wrong before (commit 3b499bd); they are marked. Written "
        "by `python -m tests.support.data_readings`, and tested by "
        "`tests/trainables/data/test_data_readings.py`.",
        "",
        "| case | what is there | words | what is understood or said | wrong before |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows = [row(case, reading) for case, reading in readings.values()]
    return "\n".join([*lines, *rows]) + "\n"


def main() -> None:
    """Read all cases, and write the table."""
    readings, wrong = {}, []
    for case in CASES:
        if not can_be_tried(case):
            print(f"left out, for it needs {case.needs}: {case.name}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            readings[case.name] = (case, read(case, Path(folder)))
        faults = readings[case.name][1].faults
        if faults and case.name not in NOT_YET:
            wrong.append(f"{case.name}: {'; '.join(fault.text for fault in faults)}")
    if wrong:
        sys.exit("\n".join(wrong))
    TABLE.write_text(as_table(readings), encoding="utf-8")


if __name__ == "__main__":
    main()
