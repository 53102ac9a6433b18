"""The main job told from end to end, on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from invrim.data.samples import Fetched, fetch
from invrim.data.simulation import SliceChoice, simulate_file
from invrim.demo.learning import learn
from invrim.demo.scan import LEARNED, PROTOCOL, check_raw, compare, methods
from invrim.errors import InvrimError
from invrim.evaluation import comparison_table
from invrim.files import make_folder
from invrim.models import Solver, shipped_weights
from invrim.planning.memory import memory_against_depth
from invrim.report import (
    Case,
    MemoryCurve,
    Report,
    TableRow,
    collect_provenance,
    first_picture,
    write_report,
)

DEPTHS = (8, 32, 128)
ACCELERATIONS = (4, 8)
_SLICES = SliceChoice(every=12, min_signal=0.08)


def tell(out: Path, *, minutes: float = 3.0, weights: str = "brain", raw: tuple[Path, ...] = (), seed: int = 0) -> Path:
    """Fetch, simulate, reconstruct, measure, train, and write ``out / "report.html"``.

    Parameters
    ----------
    out
        Folder of everything that the demo makes.
    minutes
        Training time of the small i-RIM; 0 leaves the training out.
    weights
        Of the i-RIM that is compared.
    raw
        Further fully sampled raw files with targets to undersample, reconstruct and show.
    seed
        Of the simulation and the training.

    Returns
    -------
    The report.
    """
    check_raw(raw)
    solvers = methods(weights)
    console = Console()
    make_folder(out)
    with _bar(console) as bar:
        task = bar.add_task("fetching a subject nobody trained on")
        subject = fetch("ds000240")
        _say(bar.console, f"test subject: {subject.notice}")
        bar.update(task, description="simulating its scan")
        scan = simulate_file(
            subject.path, out / "scan", acceleration=1, seed=seed, choice=None if subject.is_fallback else _SLICES
        )
        cases, rows = _compare_all({"simulated scan, one coil": scan, **_titles(raw)}, solvers, bar, task, out)
    report = Report(
        title="invrim on this machine",
        summary="An invertible recurrent inference machine, from raw k-space to images.",
        cases=cases,
        table=rows,
        provenance={**collect_provenance(), "weights": weights, "protocol": PROTOCOL},
        notes=[_about_the_subject(subject), *_about_the_weights(weights)],
    )
    # Written after every part: what is there stays, whatever comes of the next.
    path = write_report(report, out / "report.html")
    _say(console, f"report so far: {path}")
    report = _with_memory(report, console)
    write_report(report, path)
    if minutes > 0:
        report = _with_training(report, console, out / "training", minutes, seed)
        write_report(report, path)
    _say(console, f"report: {path}")
    return path


def _titles(raw: Sequence[Path]) -> dict[str, Path]:
    """Name scans by their files, with folders where names alone would be the same."""
    stems = [path.stem for path in raw]
    return {path.stem if stems.count(path.stem) == 1 else str(path): path for path in raw}


def _say(console: Console, text: str) -> None:
    """Print as it stands: a path that is wrapped, or read as markup, can no longer be opened."""
    console.print(text, soft_wrap=True, markup=False)


def _bar(console: Console) -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _compare_all(
    files: dict[str, Path], solvers: dict[str, Solver], bar: Progress, task: TaskID, out: Path
) -> tuple[list[Case], list[TableRow]]:
    """Compare the methods on every file; the first picture and each table appear as soon as they are there."""
    cases: list[Case] = []
    rows: list[TableRow] = []
    for title, path in files.items():
        for acceleration in ACCELERATIONS:
            case, new = compare(
                path,
                title,
                acceleration,
                solvers,
                lambda text: bar.update(task, description=text),
            )
            if not cases:
                _say(bar.console, f"first picture: {first_picture(case, out / 'first_picture.png')}")
            _say(bar.console, f"\n{title}, {acceleration}x")
            bar.console.print(comparison_table({row.method: row.evaluation for row in new}))
            cases.append(case)
            rows += new
    return cases, rows


def _with_memory(report: Report, console: Console) -> Report:
    """Measure the memory of training; where that fails, the report says so."""
    try:
        with _bar(console) as bar:
            return replace(report, memory=_measure_memory(bar))
    except InvrimError as error:
        _say(console, f"memory against depth: {error}")
        return replace(report, notes=[*report.notes, f"Memory against depth could not be measured: {error}"])


def _measure_memory(bar: Progress) -> MemoryCurve:
    task = bar.add_task("measuring memory against depth")
    curves = memory_against_depth(
        DEPTHS, on_progress=lambda mode, done, total: bar.update(task, description=f"memory: {mode}, {done} of {total}")
    )
    return MemoryCurve(depths=DEPTHS, bytes=curves, setting="One training step in a fresh process, this machine.")


def _with_training(report: Report, console: Console, out: Path, minutes: float, seed: int) -> Report:
    """Train a small i-RIM; in too short a time there is no curve, and the report says so."""
    source = fetch("pydra")
    duration = "1 minute" if minutes == 1 else f"{minutes:g} minutes"
    _say(console, f"\ntraining a small i-RIM for {duration}. Its brain: {source.notice}")
    # A demo starts afresh: without this it would continue the training of the demo before.
    shutil.rmtree(out, ignore_errors=True)
    curve = learn(source.path, out, minutes, seed)
    if curve is None:
        note = f"Training for {duration} is too short for a curve on this machine."
    else:
        note = "The small network under Training is another one, trained here for a few minutes to show that it learns."
    return replace(report, training=curve, notes=[*report.notes, note])


def _about_the_subject(subject: Fetched) -> str:
    return (
        f"Test subject: {subject.notice} The scan is simulated from its magnitude image: smooth phase, complex noise "
        "at an SNR of 30, random columns in phase-encoding direction."
    )


def _about_the_weights(weights: str) -> list[str]:
    """What is known of the weights that ship; of others, whom they have seen is the user's knowledge."""
    if weights not in shipped_weights():
        return []
    return [f"The weights of {LEARNED} are the ones that ship; they never saw this subject."]
