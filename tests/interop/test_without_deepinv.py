"""What somebody reads who has not installed the extra."""

import importlib
import sys

import pytest

from invrim.errors import MissingExtraError


def test_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "invrim.interop.deepinv", raising=False)
    for name in ("deepinv", "deepinv.models"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"expected deepinv, .*Run: pip install invrim\[deepinv\]"):
        importlib.import_module("invrim.interop.deepinv")
