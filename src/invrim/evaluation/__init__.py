"""Scores under a named protocol: one volume, or a folder of reconstructions against a folder of targets."""

from invrim.evaluation.folders import evaluate_folders
from invrim.evaluation.protocols import PROTOCOLS, Protocol, evaluate_volume, find_protocol
from invrim.evaluation.result import Evaluation, read_evaluation, write_evaluation
from invrim.evaluation.side_by_side import (
    ALL,
    SideBySide,
    evaluate_side_by_side,
    reasons,
    side_by_side_table,
    write_side_by_side,
)
from invrim.evaluation.table import comparison_table, evaluation_table

__all__ = [
    "ALL",
    "PROTOCOLS",
    "Evaluation",
    "Protocol",
    "SideBySide",
    "comparison_table",
    "evaluate_folders",
    "evaluate_side_by_side",
    "evaluate_volume",
    "evaluation_table",
    "find_protocol",
    "read_evaluation",
    "reasons",
    "side_by_side_table",
    "write_evaluation",
    "write_side_by_side",
]
