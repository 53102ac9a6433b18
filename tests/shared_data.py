"""Real measurements and images that tests use where they exist, and skip by name where they do not."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_PLACES = (_ROOT / "shared" / "data", _ROOT.parent / "shared" / "data")


def shared(path: str) -> Path:
    """The file ``path`` of the data folder (e.g. ``"mr_images/colin27_ch2.nii.gz"``), or a skip that names it."""
    for place in _PLACES:
        if (place / path).exists():
            return place / path
    pytest.skip(f"{path} is not on this machine")
