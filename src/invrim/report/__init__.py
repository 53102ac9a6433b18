"""Results that people look at: one self-contained HTML page, and single pictures for the impatient."""

from invrim.report.page import write_report
from invrim.report.picture import first_picture
from invrim.report.provenance import collect_provenance
from invrim.report.story import Case, MemoryCurve, Report, TableRow, TrainingCurve, ValidationCurve

__all__ = [
    "Case",
    "MemoryCurve",
    "Report",
    "TableRow",
    "TrainingCurve",
    "ValidationCurve",
    "collect_provenance",
    "first_picture",
    "write_report",
]
