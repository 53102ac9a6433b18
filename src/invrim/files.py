"""Files that are either complete or absent."""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from invrim.errors import FileError, InvrimError, OptionError, WriteError

_PROBE = 1 << 20
"""Bytes: a disk without room for these is full."""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; rename it to ``path`` on success, remove it on failure.

    The temporary name keeps the suffix, because many writers choose their format by it. An older file at
    ``path`` stays untouched until the new one is complete.

    Raises
    ------
    FileError
        The folder is missing or read-only, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    except InvrimError:
        raise
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {reason(error)}. Nothing was left behind; choose a folder that can be written "
            f"and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(folder: Path, suffix: str) -> Iterator[Path]:
    """Yield a hidden folder beside ``folder``; rename it to ``folder`` on success, remove it on failure.

    An older folder is replaced only then, and only if it holds nothing but files ending in ``suffix``.

    Raises
    ------
    FileError
        The older folder holds other things, the one above is missing or read-only, or the disk is full.
    """
    folder = Path(folder)
    require_replaceable(folder, suffix)
    temporary = folder.with_name(f".partial-{os.getpid()}-{folder.name}")
    older = folder.with_name(f".older-{os.getpid()}-{folder.name}")
    try:
        temporary.mkdir()
        yield temporary
        if folder.exists():
            folder.replace(older)
        temporary.replace(folder)
    except OSError as error:
        if older.exists() and not folder.exists():
            older.replace(folder)
        if isinstance(error, InvrimError):
            raise
        raise WriteError(
            f"cannot write {folder}: {reason(error)}. Nothing was left behind; choose a folder that can be written "
            f"and has room."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(older, ignore_errors=True)


def require_replaceable(folder: Path, suffix: str) -> None:
    """Refuse to replace a folder that holds anything but files ending in ``suffix``, or a file of its name."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileError(f"cannot write {folder}: expected a folder or nothing, got a file. Move it away.")
    if other := sorted(path.name for path in folder.iterdir() if not path.name.endswith(suffix) or path.is_dir()):
        raise FileError(
            f"cannot write {folder}: expected to replace a folder of {suffix} files alone, got {other[0]} in it. "
            f"Move it away."
        )


def require_separate(outputs: Sequence[tuple[Path, Path]]) -> None:
    """Refuse to begin where results would overwrite an input or each other.

    Parameters
    ----------
    outputs
        Pairs of an input and a file that will be made of it.

    Raises
    ------
    OptionError
        Naming the two that collide.
    """
    inputs = {path.resolve(): path for path, _ in outputs}
    taken: dict[Path, Path] = {}
    for path, out in outputs:
        place = out.resolve()
        if place in inputs:
            raise OptionError(
                f"expected results away from the inputs, got {out} for {path}, which would overwrite the input "
                f"{inputs[place]}. Choose another --out."
            )
        if place in taken:
            raise OptionError(
                f"expected one result per input, got {out} for both {taken[place]} and {path}. "
                f"Rename one of them, or give it an --out of its own."
            )
        taken[place] = path


def visible_files(folder: Path, suffix: str) -> list[Path]:
    """Files of a folder by name; hidden ones are left out, for that is what `atomic_write` has not finished."""
    return sorted(path for path in folder.glob(f"*{suffix}") if not path.name.startswith("."))


def require_file(path: Path, kind: str = "a raw file") -> None:
    """Refuse a folder, and a path with nothing at it, before a reader says it in words of its own."""
    if path.is_dir():
        raise FileError(f"{path}: expected {kind}, got a folder. Give a file that lies in it.")
    if not path.is_file():
        raise FileError(f"{path}: expected {kind}, got nothing at this path. Check the spelling.")


def remove_leftovers(folder: Path, names: Container[str]) -> None:
    """Remove temporary files and folders of `atomic_write` and `atomic_folder` for these names, whose process is gone.

    Only for names that no other process writes at this moment.
    """
    for path in folder.glob(".partial-*"):
        found = re.fullmatch(r"\.partial-\d+-(.+)", path.name)
        if found is not None and found[1] in names:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def require_folder(path: Path) -> None:
    """Notice before a long computation that there is no folder for its result ``path``."""
    if not path.parent.is_dir():
        raise FileError(f"expected to write {path}, got no folder {path.parent}. Make it, or correct the path.")


def require_writable(folder: Path) -> None:
    """Make a folder where there is none, and notice before a long computation that nothing can be written into it.

    Raises
    ------
    FileError
        It is read-only, or its disk is full.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=make_folder(folder), prefix=".partial-") as file:
            file.write(bytes(_PROBE))
    except FileError:
        raise
    except OSError as error:
        raise WriteError(
            f"cannot write into {folder}: {reason(error)}. Choose a folder that can be written and has room."
        ) from error


def sha256_of(path: Path) -> str:
    """Hash of a file's content, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it; one that is there already will do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"expected to make the folder {folder}, got: {reason(error)}. Choose a place that you can write to."
        ) from error
    return folder


def reason(error: BaseException) -> str:
    """The cause of an error in a few words, also when HDF5 hides it inside a long message."""
    text = getattr(error, "strerror", None) or str(error)
    if short := re.fullmatch(r"(\d+) requested and (\d+) written", text):  # how numpy reports a full disk
        return f"no room for more than {short[2]} of {short[1]} numbers"
    inner = re.search(r"error message = '([^']+)'", text) or re.search(r"\(([^()]*(?:\([^()]*\))?[^()]*)\)\s*$", text)
    return (inner.group(1) if inner else " ".join(text.split()) or type(error).__name__).rstrip(".").lower()
