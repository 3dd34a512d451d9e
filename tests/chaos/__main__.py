"""Long chaos test: kill processes of many sweeps (Finesweep or a stock script); write a table.

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
from tests.chaos.harness import (
    Machines,
    SweepRecord,
    repeated_epochs,
    run_under_kills,
    settings_file,
)

KINDS = {"driver": 5, "worker": 3, "node": 2}
"""Relative frequency with which each kind of process is killed."""


NAMES = {
    "ours": "Finesweep; after a kill, the driver resumes the sweep",
    "stock": "a stock script (OptunaSearch on SQLite, ASHA, a checkpoint per epoch, "
    "max_failures=3); after a kill, it calls `Tuner.restore`",
}


@dataclass
class Tally:
    """Outcomes of the sweeps so far."""

    records: list[SweepRecord] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Faults that audits found, each beginning with the sweep's number."""
    repeated_epochs: int = 0

    def rows(self, who: str) -> dict[str, object]:
        """Rows of the table."""
        kills = sum((record.kills for record in self.records), Counter())
        rows: dict[str, object] = {
            "sweeps": len(self.records),
            "kills": ", ".join(f"{n} {kind}" for kind, n in kills.items()),
            "sweeps that never ended": sum(record.lost for record in self.records),
            "sweeps with a fault": len({f.split(":")[0] for f in self.faults}),
            "faults": len(self.faults),
            "median time of a sweep, s": round(statistics.median(s.seconds for s in self.records)),
        }
        if who == "ours":
            rows["repeated epochs"] = self.repeated_epochs
        return rows


def main() -> None:
    """Run all sweeps under kills, audit each one, and write the table."""
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
        f"of one CPU on one machine. `kill -9` of the driver, of a worker or of a raylet (which "
        f"is replaced) after a random pause of 1 to 16 s, seed {args.seed}. Script under test: "
        f"{NAMES[args.who]}.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in tally.rows(args.who).items()),
    ]
    if tally.faults:
        lines += ["", "Faults:", "", *(f"- {fault}" for fault in tally.faults)]
    flags = f"--sweeps {args.sweeps} --kills {args.kills} --trials {args.trials}"
    command_line = f"python -m tests.chaos {flags} --seed {args.seed} --who {args.who}"
    table = "chaos" if args.who == "ours" else "chaos_stock"
    write_table(table, "Sweeps under kill -9", command_line, lines)


def run_sweep(
    number: int, kill_count: int, data: Path, args: argparse.Namespace, tally: Tally
) -> None:
    """Run one sweep under ``kill_count`` kills, and add its outcome to the tally."""
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
    record = run_under_kills(machines, command, kills, log=log, chance=chance)
    machines.close()
    tally.records.append(record)
    if record.lost:
        faults = [f"it never ended: {(record.stderr.strip().splitlines() or ['?'])[-1][:200]}"]
    elif args.who == "ours":
        faults = audit(folder / "sweep", trials=args.trials)
        tally.repeated_epochs += repeated_epochs(folder / "cache")
    else:
        faults = stock_faults(folder / "stock", trials=args.trials)
    tally.faults += [f"sweep {number}: {fault}" for fault in faults]
    outcome = f"{dict(record.kills)}, {record.drivers} drivers, {record.seconds:.0f} s"
    print(f"sweep {number}, {args.who}: {outcome}: {faults or 'well'}", file=sys.stderr, flush=True)


def stock_faults(folder: Path, *, trials: int) -> list[str]:
    """Faults of a stock script's sweep that finished."""
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
        faults.append(f"{running} trials are still RUNNING in Optuna")
    return faults


if __name__ == "__main__":
    main()
