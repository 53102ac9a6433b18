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
    parts = (ast.unparse(_WithoutTexts().visit(ast.parse(path.read_text(encoding="utf-8")))) for path in files)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


class _WithoutTexts(ast.NodeTransformer):
    """Drop statements that are nothing but a string."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
