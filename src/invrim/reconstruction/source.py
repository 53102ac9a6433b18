"""Tell whether a raw file is still the one that a result was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invrim.files import require_file, sha256_of

_PAIR = (".cfl", ".hdr")
"""Of BART, whose scans are two files."""


def files_of(path: Path) -> tuple[Path, ...]:
    """All files that a scan consists of."""
    return tuple(path.with_suffix(suffix) for suffix in _PAIR) if path.suffix.lower() in _PAIR else (path,)


def source_of(path: Path) -> dict[str, Any]:
    """Name, size, time of change and SHA-256 of a scan's files, plain values for JSON. Reads them once."""
    for file in files_of(path):
        require_file(file)
    return {"name": path.name, **_stamp(path), "sha256": {file.name: sha256_of(file) for file in files_of(path)}}


def is_same_source(path: Path, source: object) -> bool:
    """Whether the files still are what `source_of` said; reads them only where size is equal and the time is not.

    A copy of other time, e.g. on a node's own disk, is the same.
    """
    if not isinstance(source, dict):
        return False
    try:
        stamp = _stamp(path)
    except OSError:
        return False
    if all(source.get(name) == value for name, value in stamp.items()):
        return True
    return source.get("bytes") == stamp["bytes"] and source.get("sha256") == source_of(path)["sha256"]


def _stamp(path: Path) -> dict[str, int]:
    stats = [file.stat() for file in files_of(path)]
    return {"bytes": sum(stat.st_size for stat in stats), "modified_ns": max(stat.st_mtime_ns for stat in stats)}
