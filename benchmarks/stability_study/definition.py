"""Which study a result belongs to."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
DEFINING = tuple(HERE / f"{name}.py" for name in ("contestants", "errors", "task", "training", "walks", "work"))
"""What a job's result follows from. The plan is not among them: a job names what it takes from it."""


def fingerprint(files: Sequence[Path] = DEFINING) -> str:
    """Hash the code, but not its comments, docstrings and layout."""
    parts = (ast.unparse(_without_docstrings(ast.parse(path.read_text(encoding="utf-8")))) for path in files)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Drop statements that are nothing but a string."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return tree


def _is_text(part: ast.AST) -> bool:
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
