"""Open HDF5 files from strangers: clear words for damaged ones, and no reading through links to other files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from invrim.errors import FileError, InvrimError
from invrim.files import atomic_write, reason, require_file

_DENSEST = 1100
"""Times smaller than what it holds may a dataset be: deflate, the usual compression, ends at 1,032."""
_ALWAYS = 1 << 26
"""Bytes that any dataset may hold, e.g. zeros that were never written."""


@contextlib.contextmanager
def open_read(path: Path) -> Iterator[h5py.File]:
    """Open ``path`` for reading; low-level errors, also while reading, come out as one-line `FileError`."""
    file = open_handle(path)
    with file, damage_as_file_error(path):
        yield file


def open_handle(path: Path) -> h5py.File:
    """Open ``path`` for reading and leave closing to the caller.

    Raises
    ------
    FileError
        The file is missing, of another kind, or cut short.
    """
    path = Path(path)
    require_file(path, "an HDF5 file")
    try:
        path.open("rb").close()  # says it where reading is not allowed
        if not h5py.is_hdf5(path):
            got = (
                "other content. Give one, or correct the suffix"
                if path.stat().st_size
                else "an empty one. Copy it again"
            )
            raise FileError(f"{path}: expected an HDF5 file, got {got}.")
        file = h5py.File(path, "r")
    except FileError:
        raise
    except PermissionError as error:
        raise FileError(
            f"{path}: expected a file that can be read, got: {reason(error)}. Ask its owner, or change its mode."
        ) from error
    except OSError as error:
        raise _damaged(path, error) from error
    try:
        with damage_as_file_error(path):
            _require_no_links(file)
    except BaseException:
        file.close()
        raise
    return file


def _require_no_links(file: h5py.File) -> None:
    """Refuse links that lead out of the file, before anything follows one: even to look may open any path."""

    def is_elsewhere(name: bytes, link: h5py.h5l.LinkInfo) -> bytes | None:
        return None if link.type in {h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT} else name

    found = file.id.links.visit(is_elsewhere, info=True)
    if found is not None:
        raise _elsewhere(file, found.decode(errors="replace"))


@contextlib.contextmanager
def damage_as_file_error(path: Path) -> Iterator[None]:
    """Turn what h5py raises on missing or corrupt bytes into one `FileError`."""
    try:
        yield
    except InvrimError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, LookupError) as error:  # of all of these h5py makes use
        raise _damaged(path, error) from error
    except MemoryError as error:
        raise FileError(
            f"{path}: expected no more than this machine's memory holds, got {reason(error)}. Use a larger machine, or "
            f"divide the file."
        ) from error


@contextlib.contextmanager
def open_write(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file that appears at ``path`` only when it is complete."""
    with atomic_write(path) as temporary:
        try:
            with h5py.File(temporary, "w") as file:
                yield file
        except RuntimeError as error:  # how h5py reports a disk that fills up while it closes a file
            raise OSError(str(error)) from error


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset ``name`` whose bytes lie in this very file.

    Raises
    ------
    FileError
        It is absent, or stored in another file: a link could point anywhere on this machine; or it claims to be much
        larger than what is stored of it.
    """
    if name not in file and file.get(name, getlink=True) is None:
        found = ", ".join(sorted(file)) or "nothing"
        raise FileError(
            f"{file.filename}: expected a dataset `{name}`, got {found}. Rename it, or convert the file to the "
            f"fastMRI schema."
        )
    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        raise _elsewhere(file, name)
    item = file.get(name)
    if not isinstance(item, h5py.Dataset):
        raise FileError(
            f"{file.filename}: expected `{name}` to be a dataset, got a group or a broken link. Rewrite it."
        )
    if item.external or item.is_virtual or Path(item.file.filename) != Path(file.filename):
        raise _elsewhere(file, name)
    stored = item.id.get_storage_size()
    if item.nbytes > _DENSEST * stored + _ALWAYS:
        raise FileError(
            f"{file.filename}: expected `{name}` to be about as large as what is stored of it, got {item.nbytes} bytes "
            f"claimed for {stored} stored. Copy the file again, or write it without compression."
        )
    return item


def attributes(file: h5py.File) -> dict[str, str | int | float | bool]:
    """Scalar attributes of the file as plain Python values; arrays are left out."""
    plain: dict[str, str | int | float | bool] = {}
    for key, value in file.attrs.items():
        item = value.item() if isinstance(value, np.generic | np.ndarray) and np.size(value) == 1 else value
        item = item.decode(errors="replace") if isinstance(item, bytes) else item
        if isinstance(item, str | int | float | bool):
            plain[key] = item
    return plain


def _elsewhere(file: h5py.File, name: str) -> FileError:
    return FileError(
        f"{file.filename}: expected `{name}` inside the file, got a link to another file. Copy the data into it "
        f"(h5repack, or h5py's File.copy with expand_external)."
    )


def _damaged(path: Path, error: BaseException) -> FileError:
    return FileError(
        f"{path}: expected a complete HDF5 file, got one that is cut short or damaged ({reason(error)}). "
        f"Copy or download it again."
    )
