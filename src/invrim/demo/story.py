"""The main job told from end to end, on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from invrim.data.samples import Fetched, fetch
from invrim.data.simulation import SliceChoice, simulate_file
from invrim.demo.learning import learn
from invrim.demo.scan import LEARNED, PROTOCOL, compare, methods
from invrim.evaluation import comparison_table
from invrim.files import make_folder
from invrim.planning.memory import memory_against_depth
from invrim.report import (
    Case,
    MemoryCurve,
    Report,
    TableRow,
    TrainingCurve,
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
    console = Console()
    make_folder(out)
    with _bar(console) as bar:
        task = bar.add_task("fetching a subject nobody trained on")
        subject = fetch("ds000240")
        bar.console.print(f"test subject: {subject.notice}")
        bar.update(task, description="simulating its scan")
        scan = simulate_file(
            subject.path, out / "scan", acceleration=1, seed=seed, choice=None if subject.is_fallback else _SLICES
        )
        cases, rows = _compare_all({"simulated scan, one coil": scan}, weights, bar, task, out)
        if raw:
            more, _ = _compare_all({path.stem: path for path in raw}, weights, bar, task, None)
            cases += more
    with _bar(console) as bar:
        memory = _measure_memory(bar)
    training = _train(console, out, minutes, seed)
    report = Report(
        title="invrim on this machine",
        summary="An invertible recurrent inference machine, from raw k-space to images.",
        cases=cases,
        table=rows,
        memory=memory,
        training=training,
        provenance={**collect_provenance(), "weights": weights, "protocol": PROTOCOL},
        notes=_notes(subject),
    )
    path = write_report(report, out / "report.html")
    console.print(f"report: {path}")
    return path


def _bar(console: Console) -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console)


def _compare_all(
    files: dict[str, Path], weights: str, bar: Progress, task: TaskID, out: Path | None
) -> tuple[list[Case], list[TableRow]]:
    """Compare the methods on every file; the first picture and each table appear as soon as they are there."""
    solvers = methods(weights)
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
            if out is not None and not cases:
                bar.console.print(f"first picture: {first_picture(case, out / 'first_picture.png')}")
            bar.console.print(f"\n{title}, {acceleration}x")
            bar.console.print(comparison_table({row.method: row.evaluation for row in new}))
            cases.append(case)
            rows += new
    return cases, rows


def _measure_memory(bar: Progress) -> MemoryCurve:
    task = bar.add_task("measuring memory against depth")
    curves = memory_against_depth(
        DEPTHS, on_progress=lambda mode, done, total: bar.update(task, description=f"memory: {mode}, {done} of {total}")
    )
    return MemoryCurve(depths=DEPTHS, bytes=curves, setting="One training step in a fresh process, this machine.")


def _train(console: Console, out: Path, minutes: float, seed: int) -> TrainingCurve | None:
    if minutes <= 0:
        return None
    source = fetch("pydra")
    console.print(f"\ntraining a small i-RIM for {minutes:g} minutes. Its brain: {source.notice}")
    # A demo starts afresh: without this it would continue the training of the demo before.
    shutil.rmtree(out / "training", ignore_errors=True)
    return learn(source.path, out / "training", minutes, seed)


def _notes(subject: Fetched) -> list[str]:
    return [
        f"Test subject: {subject.notice} The scan is simulated from its magnitude image: smooth phase, complex noise "
        "at an SNR of 30, random columns in phase-encoding direction.",
        f"The weights of {LEARNED} are the ones that ship; they never saw this subject. The small network under "
        "Training is another one, trained here for a few minutes to show that it learns.",
    ]
