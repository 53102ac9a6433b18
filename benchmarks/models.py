"""Which model reconstructs best after equal training, what does every option bring, and does depth pay?

python benchmarks/models.py models --minutes 8 --jobs 2          # every model, equal training time
python benchmarks/models.py improvements --minutes 4 --jobs 2    # the i-RIM with and without, equal training time
python benchmarks/models.py steps --updates 500 --jobs 2         # 1, 2, 4 and 8 steps, equal updates

All learn from the data of `recipes/brain_data.py` by the recipe of the weights that ship, but for what
`contest/entries.py` says, and are scored on subjects never seen. Training time is that of one thread: seconds of an
update are measured, the models taking turns, and every model makes as many as fit. Memory is the growth of a fresh
process in a training step on a slice of 13 coils.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from contest.entries import CONTESTS, ROOT, recipe_of
from contest.work import is_invertible, peak_of_step, seconds_per_update
from envelope import RESULTS, write_results
from invrim import load_model
from invrim.files import atomic_write
from invrim.models import Solver
from invrim.models.baselines import available_baselines
from invrim.planning.memory import run_apart
from invrim.training import train
from quality import DATA, score_folder

QUESTION = "Which model reconstructs best after equal training, what does every option bring, and does depth pay?"
ACCELERATIONS = (4, 8)
FOLDERS = ("test", "real")
FACTS = "facts.json"
Facts = dict[str, Any]


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    if options.only:
        print(json.dumps(answer(options)))
        return
    entries = {name: CONTESTS[options.contest][name] for name in options.entries or CONTESTS[options.contest]}
    seconds = seconds_per_update(entries, options.data)
    updates = {name: options.updates or round(60 * options.minutes / seconds[name]) for name in entries}
    print(
        "\n".join(f"{name:<14}{seconds[name]:6.2f} s an update, {updates[name]} of them" for name in entries),
        flush=True,
    )
    path = options.out / f"{options.contest}.json"
    results, baselines = earlier(path, options) if options.add else ({}, {})
    with ThreadPoolExecutor(options.jobs) as pool:  # threads that wait for processes
        waiting = {name: pool.submit(measure, options, name, updates[name]) for name in entries}
        if options.contest == "models" and not baselines:
            baselines = score(available_baselines(), options.data)
        for name, future in waiting.items():
            facts = {"title": entries[name].title, "seconds_per_update": seconds[name], "updates": updates[name]}
            results[name] = facts | future.result()
            print(line(name, results[name]), flush=True)
            setting = {"minutes": options.minutes, "updates": options.updates, "jobs": options.jobs, "threads": 1}
            found = {"entries": results, "baselines": baselines}
            path = write_results(options.contest, QUESTION, setting, found, folder=options.out)
    print(path)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contest", choices=CONTESTS)
    parser.add_argument("--entries", nargs="+", help="of the contest; all by default")
    parser.add_argument("--add", action="store_true", help="keep the other entries of the results, of equal trainings")
    parser.add_argument("--minutes", type=float, default=8.0, help="training time of every entry on one thread")
    parser.add_argument("--updates", type=int, help="equal updates in place of equal time")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, one thread each")
    parser.add_argument("--data", type=Path, help="folder with train, val, test and real [runs/brain-data]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "models", help="folder for the trainings")
    parser.add_argument("--only", choices=["train", "store", "invert"], help="one job (used by the script itself)")
    return parser.parse_args()


def earlier(path: Path, options: argparse.Namespace) -> tuple[dict[str, Facts], dict[str, Facts]]:
    """Entries and baselines of a file of results."""
    found = json.loads(path.read_text(encoding="utf-8"))
    trained, asked = ({key: of[key] for key in ("minutes", "updates")} for of in (found["setting"], vars(options)))
    if trained != asked:
        raise SystemExit(
            f"expected trainings as those in {path}, {trained}, got {asked}. Leave out --add, or say the same."
        )
    return found["results"]["entries"], found["results"]["baselines"]


def measure(options: argparse.Namespace, name: str, updates: int) -> Facts:
    """Train, score and weigh one entry, each in a process of its own."""
    entry = CONTESTS[options.contest][name]
    trained = trained_apart(options, name, updates)
    modes = ("store", "invert") if is_invertible(entry) else ("store",)
    job = [__file__, options.contest, "--entries", name, "--only"]
    return {**trained, "memory_bytes": {mode: run_apart([*job, mode])["bytes"] for mode in modes}}


def trained_apart(options: argparse.Namespace, name: str, updates: int) -> Facts:
    """What a training left in its folder; one that was finished before is not repeated."""
    folder = options.runs / f"{options.contest}-{name}-{updates}"
    if not (folder / FACTS).is_file():
        job = [__file__, options.contest, "--entries", name, "--updates", str(updates), "--only", "train"]
        job += ["--runs", str(folder), *(["--data", str(options.data)] if options.data else [])]
        process = subprocess.run([sys.executable, *job], capture_output=True, text=True, check=False)
        if process.returncode:
            raise SystemExit(f"{name}: training failed.\n{process.stderr}")
    return dict(json.loads((folder / FACTS).read_text(encoding="utf-8")))


def answer(options: argparse.Namespace) -> Facts:
    """Carry out one job of `measure` in this process."""
    (name,) = options.entries
    entry = CONTESTS[options.contest][name]
    if options.only != "train":
        return {"bytes": peak_of_step(entry, by_inversion=options.only == "invert")}
    model = load_model(train(recipe_of(entry, options.updates, options.runs, options.data)))
    parameters = sum(p.numel() for p in model.parameters())
    facts = {"parameters": parameters, "scores": score({name: model}, options.data)[name]}
    with atomic_write(options.runs / FACTS) as temporary:
        temporary.write_text(json.dumps(facts), encoding="utf-8")
    return facts


def score(models: dict[str, Solver], data: Path | None) -> dict[str, Facts]:
    """Mean scores over volumes and seconds of a slice, for every folder of unseen scans and acceleration."""
    root = data or DATA
    found: dict[str, Facts] = {}
    for name, model in models.items():
        found[name] = {}
        for folder in FOLDERS:
            for acceleration in ACCELERATIONS:
                scores = score_folder(model, root / folder, acceleration)
                mean = scores["per_volume"]["mean"]
                found[name][f"{folder} {acceleration}x"] = {**mean, "seconds_per_slice": scores["seconds_per_slice"]}
    return found


def line(name: str, facts: Facts) -> str:
    cells = [f"{where} {s['psnr']:.2f} / {s['ssim']:.3f}" for where, s in facts["scores"].items()]
    return f"{name:<14}{facts['parameters']:>10,}  " + "   ".join(cells)


if __name__ == "__main__":
    main()
