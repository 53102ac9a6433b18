"""The report: one HTML file with its style and its pictures inside, without scripts or requests."""

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from invrim.files import atomic_write
from invrim.report.captions import case_caption, memory_caption, training_caption
from invrim.report.case_figure import case_figure
from invrim.report.memory_figure import memory_figure
from invrim.report.picture import data_uri
from invrim.report.score_table import score_table
from invrim.report.story import Case, Report
from invrim.report.stylesheet import STYLE
from invrim.report.training_figure import training_figure

NARROW = 640
"""Pixels; narrower windows get the tall version of every picture."""


def write_report(report: Report, path: Path) -> Path:
    """Write the page, whole or not at all; a few megabytes a case."""
    page = render(report)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def render(report: Report) -> str:
    """Build the page as text."""
    body = "\n".join(_parts(report))
    # An icon that is given, though empty, keeps browsers from asking the server for one.
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n'
        f"<title>{escape(report.title)}</title>\n<style>{STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _parts(report: Report) -> Iterator[str]:
    yield f"<h1>{escape(report.title)}</h1>"
    if report.summary:
        yield f'<p class="summary">{escape(report.summary)}</p>'
    if report.table:
        yield "<h2>In numbers</h2>" + score_table(report.table)
    if report.cases:
        yield "<h2>In pictures</h2>" + "\n".join(map(_case, report.cases))
    if report.memory:
        curve = report.memory
        yield "<h2>Memory against depth</h2>" + _figure(
            lambda tall: memory_figure(curve, tall=tall), "Peak memory against depth", memory_caption(curve)
        )
    if report.training:
        training = report.training
        yield "<h2>Training</h2>" + _figure(
            lambda tall: training_figure(training, tall=tall), "Training curves", training_caption(training)
        )
    if report.notes:
        yield "<h2>Notes</h2>" + "".join(f"<p>{escape(note)}</p>" for note in report.notes)
    if report.provenance:
        facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in report.provenance.items())
        yield f"<h2>Where this comes from</h2><dl>{facts}</dl>"


def _case(case: Case) -> str:
    names = ", ".join(case.methods)
    picture = _figure(lambda tall: case_figure(case, tall=tall), f"Target, {names}", case_caption(case))
    return f"<h3>{escape(case.title)}</h3>{picture}"


def _figure(draw: Callable[[bool], Figure], alternative: str, caption: str) -> str:
    """Embed a wide and a tall version; the browser shows the one that fits."""
    return (
        f'<figure><picture><source media="(max-width: {NARROW}px)" srcset="{data_uri(draw(True))}">'
        f'<img src="{data_uri(draw(False))}" alt="{escape(alternative)}"></picture>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
