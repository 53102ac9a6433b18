"""Scores as an HTML table: grouped by scan and acceleration, the best of each group marked."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from invrim.evaluation import Evaluation, find_protocol
from invrim.evaluation.table import common_protocol, format_score, label_of
from invrim.report.story import TableRow

SMALLER_IS_BETTER = {"nmse"}


def score_table(rows: Sequence[TableRow]) -> str:
    """Build the table and the caption that names its protocol."""
    protocol = common_protocol({str(number): row.evaluation for number, row in enumerate(rows)})
    metrics = list(rows[0].evaluation.mean)
    scans = list(dict.fromkeys(row.scan for row in rows))
    ordered = sorted(rows, key=lambda row: (scans.index(row.scan), row.acceleration))
    groups = [list(group) for _, group in groupby(ordered, key=lambda row: (row.scan, row.acceleration))]
    head = "".join(f'<th scope="col">{escape(label_of(metric))}</th>' for metric in metrics)
    body = "".join(_group(group, metrics) for group in groups)
    return (
        f'<table><thead><tr><th scope="col">method</th>{head}</tr></thead><tbody>{body}</tbody></table>'
        f'<p class="caption">Protocol <b>{escape(protocol)}</b>: {escape(find_protocol(protocol).description)} '
        f"Mean ± standard deviation over volumes; the best of each group in bold.</p>"
    )


def _group(rows: Sequence[TableRow], metrics: Sequence[str]) -> str:
    volumes = max(len(row.evaluation.volumes) for row in rows)
    scan = f"{escape(rows[0].scan)}, " if rows[0].scan else ""
    title = f"{scan}{rows[0].acceleration:g}-fold acceleration, {volumes} volume{'s' if volumes != 1 else ''}"
    best = {metric: _best(rows, metric) for metric in metrics}
    lines = "".join(
        f'<tr><th scope="row">{escape(row.method)}</th>'
        + "".join(_cell(row.evaluation, metric, row is best[metric]) for metric in metrics)
        + "</tr>"
        for row in rows
    )
    return f'<tr class="group"><th scope="rowgroup" colspan="{len(metrics) + 1}">{title}</th></tr>{lines}'


def _best(rows: Sequence[TableRow], metric: str) -> TableRow:
    sign = -1 if metric in SMALLER_IS_BETTER else 1
    return max(rows, key=lambda row: sign * row.evaluation.mean[metric])


def _cell(evaluation: Evaluation, metric: str, best: bool) -> str:
    mean = format_score(metric, evaluation.mean[metric])
    spread = f' <span class="std">± {format_score(metric, evaluation.std[metric])}</span>'
    opening = '<td class="best">' if best else "<td>"
    return f"{opening}{mean}{spread if len(evaluation.volumes) > 1 else ''}</td>"
