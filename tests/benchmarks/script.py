"""Running a benchmark as a user does, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``benchmarks/NAME`` to a good end, with the sources beside it and some variables set."""
    command = [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **variables}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return process
