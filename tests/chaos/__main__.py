"""The long run: many sweeps, many kills, ours and a stock script's in turn; keeps a table.

python -m tests.chaos [--sweeps 20] [--kills 100] [--trials 12] [--seed 0] [--no-stock]
"""

import argparse
import json
import random
import statistics
import sys
from collections import Counter
from pathlib import Path

from tests.benchmarks.measuring import SCRATCH, split_folder, write_table
from tests.chaos.auditor import audit
from tests.chaos.harness import Machines, Story, repeated_epochs, settings_file, torment

KINDS = {"driver": 5, "worker": 3, "node": 2}
"""How often each is killed, in proportion."""


def main() -> None:
    """Torment the sweeps, audit each, and write down what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stock", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    data, _ = split_folder("elpv", 100)
    folder = SCRATCH / "chaos"
    stories: dict[str, list[Story]] = {"ours": [], "stock": []}
    broken: dict[str, list[str]] = {"ours": [], "stock": []}
    repeated = 0
    for number in range(args.sweeps):
        chance = random.Random(args.seed + number)
        share = args.kills // args.sweeps + (number < args.kills % args.sweeps)
        kills = chance.choices(list(KINDS), weights=list(KINDS.values()), k=share)
        for who in ("ours", "stock") if args.stock else ("ours",):
            machines = Machines()
            if who == "ours":
                file = settings_file(
                    folder,
                    data=data,
                    address=machines.address,
                    seed=number,
                    trials=args.trials,
                )
                command = ["-m", "tests.chaos.driver", str(file)]
            else:
                place = folder / "stock"
                command = ["-m", "tests.chaos.stock", machines.address, str(place)]
                command += [str(args.trials), str(number)]
            said = SCRATCH / "chaos-said.txt"
            chance = random.Random(args.seed + number)
            story = torment(machines, command, kills, said=said, chance=chance)
            machines.close()
            stories[who].append(story)
            if story.lost:
                wrong = [f"it never ended: {(story.said.strip().splitlines() or ['?'])[-1][:200]}"]
            elif who == "ours":
                wrong = audit(folder / "sweep", trials=args.trials)
                repeated += repeated_epochs(folder / "cache")
            else:
                wrong = stock_faults(folder / "stock", trials=args.trials)
            broken[who] += [f"sweep {number}: {fault}" for fault in wrong]
            done = f"{dict(story.kills)}, {story.drivers} drivers, {story.seconds:.0f} s"
            print(f"sweep {number}, {who}: {done}: {wrong or 'well'}", file=sys.stderr, flush=True)
    lines = [
        f"{args.sweeps} sweeps of {args.trials} trials of at most 6 epochs, over three raylets "
        f"of one CPU on one machine; kill -9 of the driver, of a worker or of a raylet (another "
        f"joins) at random moments of 1 to 16 s, seed {args.seed}. A driver that ends is started "
        "again: ours by a resume, the stock script (OptunaSearch on SQLite, ASHA, a checkpoint an "
        "epoch, max_failures=3) by `Tuner.restore`.",
        "",
        "| | " + " | ".join(who for who in stories if stories[who]) + " |",
        "| --- |" + " --- |" * sum(bool(found) for found in stories.values()),
    ]
    rows = {
        "sweeps": lambda who: len(stories[who]),
        "kills": lambda who: str(dict(sum((s.kills for s in stories[who]), Counter()))),
        "sweeps that never ended": lambda who: sum(s.lost for s in stories[who]),
        "sweeps with a broken promise": lambda who: len({f.split(":")[0] for f in broken[who]}),
        "promises broken": lambda who: len(broken[who]),
        "epochs run again": lambda who: repeated if who == "ours" else "not counted",
        "seconds a sweep, median": lambda who: round(
            statistics.median(s.seconds for s in stories[who])
        ),
    }
    for name, value in rows.items():
        cells = [str(value(who)) for who in stories if stories[who]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for who, found in broken.items():
        if found:
            lines += ["", f"What was broken, {who}:", "", *(f"- {fault}" for fault in found)]
    flags = f"--sweeps {args.sweeps} --kills {args.kills} --trials {args.trials}"
    command_line = f"python -m tests.chaos {flags} --seed {args.seed}"
    write_table("chaos", "Sweeps under kill -9", command_line, lines)


def stock_faults(folder: Path, *, trials: int) -> list[str]:
    """What is wrong with a stock sweep that came to its end."""
    told = json.loads((folder / "stock.json").read_text("utf-8"))
    wrong = []
    if told["results"] != trials:
        wrong.append(f"{told['results']} results instead of {trials}")
    if told["errors"]:
        wrong.append(f"{told['errors']} trials ended in an error")
    if len(told["optuna"]) != trials:
        wrong.append(f"{len(told['optuna'])} trials in Optuna instead of {trials}")
    running = told["optuna"].count("RUNNING")
    if running:
        wrong.append(f"{running} trials run in Optuna for ever")
    return wrong


if __name__ == "__main__":
    main()
