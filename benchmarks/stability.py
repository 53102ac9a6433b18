"""Which layers can be trained by inversion, how deep, and in which precision?

python benchmarks/stability.py            # some 25 minutes of one core; goes on after an interruption
python benchmarks/stability.py --quick    # seconds, to see that it runs

Writes ``stability.json`` after every job. `docs/stability.md` reads it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from envelope import RESULTS, write_results
from stability_study.contestants import CHANNELS, CONTESTANTS, HIDDEN
from stability_study.plan import QUICK, Job, Plan, jobs_of
from stability_study.task import NOISE, SIZE
from stability_study.training import DIVERGED
from stability_study.work import do

QUESTION = "Which layers can be trained by inversion, how deep, and in which precision?"
SETTING = {
    "labels": {name: contestant.label for name, contestant in CONTESTANTS.items()},
    "channels": CHANNELS,
    "hidden": HIDDEN,
    "size": SIZE,
    "noise": NOISE,
    "diverged": DIVERGED,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 layers deep, for tests")
    parser.add_argument("--fresh", action="store_true", help="measure again what is there already")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()

    torch.set_num_threads(1)
    plan, name = (QUICK, "stability-quick") if options.quick else (Plan(), "stability")
    path = options.out / f"{name}.json"
    jobs = list(jobs_of(plan))
    known = [] if options.fresh else finished(path, SETTING)
    done = [result for result in known if any(job.items() <= result.items() for job in jobs)]
    for job in jobs:
        if not any(job.items() <= result.items() for result in done):
            done.append(do(job))
            write_results(name, QUESTION, SETTING, {"jobs": done}, folder=options.out)
            print(" ".join(f"{key} {value}" for key, value in job.items()), f"{done[-1]['seconds']:.1f} s", flush=True)


def finished(path: Path, setting: dict[str, Any]) -> list[Job]:
    """Read the jobs that an earlier run in the same setting has done."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["results"]["jobs"] if found["setting"] == setting else []


if __name__ == "__main__":
    main()
