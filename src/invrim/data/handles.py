"""A bounded number of open HDF5 files per process."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import h5py

from invrim.data.formats.hdf5 import open_handle


class OpenFiles:
    """Files that stay open between reads; the least recently read is closed first.

    HDF5 handles do not travel between processes: a copy that arrives in a loader's worker, by fork or by pickle,
    starts empty.

    Parameters
    ----------
    limit
        Most files open at once; bounds memory too, since every open file keeps a chunk cache.
    """

    def __init__(self, limit: int = 16) -> None:
        self.limit = limit
        self._files: OrderedDict[Path, h5py.File] = OrderedDict()
        self._process = os.getpid()

    def get(self, path: Path) -> h5py.File:
        """The open file at ``path``."""
        if self._process != os.getpid():
            self._files, self._process = OrderedDict(), os.getpid()
        if path not in self._files:
            self._files[path] = open_handle(path)
        self._files.move_to_end(path)
        while len(self._files) > self.limit:
            self._files.popitem(last=False)[1].close()
        return self._files[path]

    def close(self, path: Path) -> None:
        """Close the file at ``path``, if it is open."""
        if self._process == os.getpid() and path in self._files:
            self._files.pop(path).close()

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.limit = state["limit"]
        self._files, self._process = OrderedDict(), os.getpid()
