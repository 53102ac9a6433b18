"""Which layers can be trained by inversion, how deep, and in which precision?

python benchmarks/stability.py            # some hours of one core; goes on after an interruption
python benchmarks/stability.py --quick    # seconds, to see that it runs

Writes ``stability.json`` after every job, with the commit that each job was measured at and a fingerprint of the study.
Jobs of another study are not taken over. `docs/stability.md` reads the file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from envelope import RESULTS, write_results
from invrim.report.provenance import collect_provenance
from stability_study.contestants import CHANNELS, CONTESTANTS, HIDDEN
from stability_study.definition import fingerprint
from stability_study.plan import QUICK, Job, Plan, jobs_of
from stability_study.task import NOISE, SIZE, readout_loss
from stability_study.training import STATES, STOPPED
from stability_study.work import do

QUESTION = "Which layers can be trained by inversion, how deep, and in which precision?"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few layers deep, for tests")
    parser.add_argument("--fresh", action="store_true", help="measure again what is there already")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)
    plan, name = (QUICK, "stability-quick") if options.quick else (Plan(), "stability")
    study = fingerprint()
    known = [] if options.fresh else finished(options.out / f"{name}.json", study)
    origin = {"study": study, "commit": collect_provenance().get("commit", "")}
    setting = {
        "labels": {name: contestant.label for name, contestant in CONTESTANTS.items()},
        "channels": CHANNELS, "hidden": HIDDEN, "size": SIZE, "noise": NOISE, "states": STATES, "stopped": STOPPED,
        "readout_loss": readout_loss(),
    }  # fmt: skip
    done: list[Job] = []
    for job in jobs_of(plan, done):
        result = taken_from(known, job)
        if result is None:
            result = {**do(job), **origin}
            # Jobs whose turn has not come yet stay in the file.
            write_results(name, QUESTION, setting, {"jobs": [*done, result, *known]}, folder=options.out)
            print(" ".join(f"{key} {value}" for key, value in job.items()), f"{result['seconds']:.1f} s", flush=True)
        done.append(result)
    if known:  # the plan has no use for
        write_results(name, QUESTION, setting, {"jobs": done}, folder=options.out)


def finished(path: Path, study: str) -> list[Job]:
    """Read the jobs that an earlier run of the same study has done, whatever its commit."""
    if not path.is_file():
        return []
    jobs = json.loads(path.read_text(encoding="utf-8"))["results"]["jobs"]
    return [job for job in jobs if job.get("study") == study]


def taken_from(known: list[Job], job: Job) -> Job | None:
    """Remove the result of a job from those known, and return it."""
    for index, result in enumerate(known):
        if job.items() <= result.items():
            return known.pop(index)
    return None


if __name__ == "__main__":
    main()
