"""The long run: many sweeps, many kills, of ours or of a stock script; keeps a table of each.

python -m tests.chaos [--sweeps 20] [--kills 100] [--trials 12] [--seed 0] [--who stock]
"""

import argparse
import json
import random
import statistics
import sys
from collections import Counter
from pathlib import Path

from tests.benchmarks.measuring import SCRATCH, fresh, split_folder, write_table
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
    parser.add_argument("--who", choices=["ours", "stock"], default="ours")
    args = parser.parse_args()
    data, _ = split_folder("elpv", 100)
    folder = SCRATCH / "chaos"
    who, stories, broken, repeated = args.who, list[Story](), list[str](), 0
    for number in range(args.sweeps):
        chance = random.Random(args.seed + number)
        share = args.kills // args.sweeps + (number < args.kills % args.sweeps)
        kills = chance.choices(list(KINDS), weights=list(KINDS.values()), k=share)
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
            place = fresh(folder) / "stock"
            command = ["-m", "tests.chaos.stock", machines.address, str(place)]
            command += [str(args.trials), str(number)]
        said = SCRATCH / "chaos-said.txt"
        story = torment(machines, command, kills, said=said, chance=chance)
        machines.close()
        stories.append(story)
        if story.lost:
            wrong = [f"it never ended: {(story.said.strip().splitlines() or ['?'])[-1][:200]}"]
        elif who == "ours":
            wrong = audit(folder / "sweep", trials=args.trials)
            repeated += repeated_epochs(folder / "cache")
        else:
            wrong = stock_faults(folder / "stock", trials=args.trials)
        broken += [f"sweep {number}: {fault}" for fault in wrong]
        done = f"{dict(story.kills)}, {story.drivers} drivers, {story.seconds:.0f} s"
        print(f"sweep {number}, {who}: {done}: {wrong or 'well'}", file=sys.stderr, flush=True)
    names = {
        "ours": "Finesweep, whose driver is started again by a resume",
        "stock": "a stock script (OptunaSearch on SQLite, ASHA, a checkpoint an epoch, "
        "max_failures=3), which is started again by `Tuner.restore`",
    }
    rows = {
        "sweeps": len(stories),
        "kills": ", ".join(
            f"{n} {kind}" for kind, n in sum((s.kills for s in stories), Counter()).items()
        ),
        "sweeps that never ended": sum(story.lost for story in stories),
        "sweeps with a broken promise": len({fault.split(":")[0] for fault in broken}),
        "promises broken": len(broken),
        "seconds a sweep, median": round(statistics.median(s.seconds for s in stories)),
    }
    if who == "ours":
        rows["epochs run again"] = repeated
    lines = [
        f"{args.sweeps} sweeps of {args.trials} trials of at most 6 epochs, over three raylets "
        f"of one CPU on one machine; kill -9 of the driver, of a worker or of a raylet (another "
        f"joins) at random moments of 1 to 16 s, seed {args.seed}. This is {names[who]}.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    if broken:
        lines += ["", "What was broken:", "", *(f"- {fault}" for fault in broken)]
    flags = f"--sweeps {args.sweeps} --kills {args.kills} --trials {args.trials}"
    command_line = f"python -m tests.chaos {flags} --seed {args.seed} --who {who}"
    write_table(
        "chaos" if who == "ours" else "chaos_stock", "Sweeps under kill -9", command_line, lines
    )


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
