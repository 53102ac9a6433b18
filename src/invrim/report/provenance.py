"""Where a result comes from: versions, machine, date, commit."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def collect_provenance() -> dict[str, str]:
    """Describe this process, label -> text; the commit only where the package runs from its own checkout."""
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "invrim": _version("invrim"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{_processor()}, {torch.get_num_threads()} threads",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    }
    return {label: text for label, text in facts.items() if text}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed, run from source"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or sys.platform


def _commit() -> str:
    """Short hash, ``-dirty`` after it when files differ from the commit."""
    # An installed package may lie inside somebody else's checkout: only a tracked file tells whose commit it is.
    here = Path(__file__).resolve()
    if not _git(here.parent, "ls-files", "--error-unmatch", here.name):
        return ""
    return _git(here.parent, "describe", "--always", "--dirty", "--exclude", "*")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
