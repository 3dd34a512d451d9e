"""The long run: kill many sweeps many times, ours or a stock script's, and write the table.

python -m tests.chaos [--sweeps 20] [--kills 100] [--trials 12] [--seed 0] [--who stock]
"""

import argparse
import json
import random
import statistics
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.measuring import SCRATCH, fresh, split_folder, write_table
from tests.chaos.auditor import audit
from tests.chaos.harness import Machines, Story, repeated_epochs, settings_file, torment

KINDS = {"driver": 5, "worker": 3, "node": 2}
"""Relative frequency with which each kind of process is killed."""


NAMES = {
    "ours": "Finesweep, whose driver is started again by a resume",
    "stock": "a stock script (OptunaSearch on SQLite, ASHA, a checkpoint an epoch, "
    "max_failures=3), which is started again by `Tuner.restore`",
}


@dataclass
class Tally:
    """Outcomes of the sweeps so far."""

    stories: list[Story] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Broken promises, each beginning with its sweep."""
    repeated_epochs: int = 0

    def rows(self, who: str) -> dict[str, object]:
        """Rows of the table."""
        kills = sum((story.kills for story in self.stories), Counter())
        rows: dict[str, object] = {
            "sweeps": len(self.stories),
            "kills": ", ".join(f"{n} {kind}" for kind, n in kills.items()),
            "sweeps that never ended": sum(story.lost for story in self.stories),
            "sweeps with a broken promise": len({f.split(":")[0] for f in self.faults}),
            "promises broken": len(self.faults),
            "seconds a sweep, median": round(statistics.median(s.seconds for s in self.stories)),
        }
        if who == "ours":
            rows["epochs run again"] = self.repeated_epochs
        return rows


def main() -> None:
    """Kill processes of every sweep, audit what each left, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--who", choices=["ours", "stock"], default="ours")
    args = parser.parse_args()
    data, _ = split_folder("elpv", 100)
    tally = Tally()
    for number in range(args.sweeps):
        share = args.kills // args.sweeps + (number < args.kills % args.sweeps)
        run_sweep(number, share, data, args, tally)
    lines = [
        f"{args.sweeps} sweeps of {args.trials} trials of at most 6 epochs, over three raylets "
        f"of one CPU on one machine; kill -9 of the driver, of a worker or of a raylet (another "
        f"joins) at random moments of 1 to 16 s, seed {args.seed}. This is {NAMES[args.who]}.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in tally.rows(args.who).items()),
    ]
    if tally.faults:
        lines += ["", "What was broken:", "", *(f"- {fault}" for fault in tally.faults)]
    flags = f"--sweeps {args.sweeps} --kills {args.kills} --trials {args.trials}"
    command_line = f"python -m tests.chaos {flags} --seed {args.seed} --who {args.who}"
    table = "chaos" if args.who == "ours" else "chaos_stock"
    write_table(table, "Sweeps under kill -9", command_line, lines)


def run_sweep(
    number: int, kill_count: int, data: Path, args: argparse.Namespace, tally: Tally
) -> None:
    """Run one sweep to its end under ``kill_count`` kills, and add its outcome to the tally."""
    folder, log = SCRATCH / "chaos", SCRATCH / "chaos-stderr.txt"
    chance = random.Random(args.seed + number)
    kills = chance.choices(list(KINDS), weights=list(KINDS.values()), k=kill_count)
    machines = Machines()
    if args.who == "ours":
        file = settings_file(
            folder, data=data, address=machines.address, seed=number, trials=args.trials
        )
        command = ["-m", "tests.chaos.driver", str(file)]
    else:
        place = fresh(folder) / "stock"
        command = ["-m", "tests.chaos.stock", machines.address, str(place)]
        command += [str(args.trials), str(number)]
    story = torment(machines, command, kills, log=log, chance=chance)
    machines.close()
    tally.stories.append(story)
    if story.lost:
        faults = [f"it never ended: {(story.stderr.strip().splitlines() or ['?'])[-1][:200]}"]
    elif args.who == "ours":
        faults = audit(folder / "sweep", trials=args.trials)
        tally.repeated_epochs += repeated_epochs(folder / "cache")
    else:
        faults = stock_faults(folder / "stock", trials=args.trials)
    tally.faults += [f"sweep {number}: {fault}" for fault in faults]
    outcome = f"{dict(story.kills)}, {story.drivers} drivers, {story.seconds:.0f} s"
    print(f"sweep {number}, {args.who}: {outcome}: {faults or 'well'}", file=sys.stderr, flush=True)


def stock_faults(folder: Path, *, trials: int) -> list[str]:
    """Faults of a stock sweep that ended by itself."""
    ended = json.loads((folder / "stock.json").read_text("utf-8"))
    faults = []
    if ended["results"] != trials:
        faults.append(f"{ended['results']} results instead of {trials}")
    if ended["errors"]:
        faults.append(f"{ended['errors']} trials ended in an error")
    if len(ended["optuna"]) != trials:
        faults.append(f"{len(ended['optuna'])} trials in Optuna instead of {trials}")
    running = ended["optuna"].count("RUNNING")
    if running:
        faults.append(f"{running} trials run in Optuna for ever")
    return faults


if __name__ == "__main__":
    main()
