"""Open a stranger's PyTorch checkpoint for its tensors and settings, and run nothing that is in it."""

from __future__ import annotations

import re
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError

from invrim.errors import FileError, WeightsError


class _Dropped:
    """Stands where a checkpoint holds an object that nobody needs, a path or a score; keeps nothing of it."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


_DROPPED = (
    "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype",
)  # fmt: skip
"""What released checkpoints name beside tensors and settings: folders of the run, and its best score."""

_ALLOWED: list[Callable | tuple[Callable, str]] = [Namespace, *((_Dropped, name) for name in _DROPPED)]

_CALLED = re.compile(r"GLOBAL (\S+)|unrecognized function (.+?)(?: which|$)", re.MULTILINE)
"""Where torch's message says what a pickle wanted to call."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `torch.save` wrote: tensors on the CPU, plain values, and settings of argparse.

    Only tensors and an `argparse.Namespace` are made. Paths and numbers of numpy become placeholders, and any other
    object is refused: to make it, a pickle would have to run code of its author's choice.

    Raises
    ------
    FileError
        The file is missing, damaged, or no checkpoint.
    WeightsError
        It would run code, or holds no dictionary.
    """
    if not path.is_file():
        raise FileError(f"expected a checkpoint, got no file {path}. Check the path.")
    try:
        with torch.serialization.safe_globals(_ALLOWED), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # one line says what is wrong with it
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise _refused(path, str(error)) from None
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        raise FileError(
            f"expected a complete PyTorch checkpoint, got {path}: {_first_line(error)}. Copy or download it again."
        ) from None
    if not isinstance(content, dict):
        raise WeightsError(
            f"expected a dictionary in {path}, got {type(content).__name__}. Give the checkpoint as it was released."
        )
    return content


def _refused(path: Path, message: str) -> FileError | WeightsError:
    called = _CALLED.search(message)
    if called is None:
        return FileError(f"expected a PyTorch checkpoint, got {path}, which is none. Copy or download it.")
    name = called[1] or called[2]
    return WeightsError(
        f"expected tensors and settings in {path}, got a call of `{name}`, which opening the file would run. Nothing "
        f"was run; get the checkpoint from a source that you trust."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
