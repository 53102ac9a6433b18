"""What happens to a run from outside, in one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from invrim.errors import FileError, InvrimError, RunError
from invrim.files import reason
from invrim.training.recipe import Recipe

_KILLED = re.compile(r"DataLoader worker \(pid\(?s?\)?:? ?([\d, ]+)\).*?(?:killed by signal: (\w+)|exited)")
_GO_ON = "The last checkpoint is as it was; start again to go on from it."


@contextmanager
def in_one_line(recipe: Recipe) -> Iterator[None]:
    """Turn failures of memory, disk and loaders' processes into errors that say what to do.

    Raises
    ------
    RunError
        Memory did not suffice, or a loader's process was killed.
    FileError
        A log or a checkpoint could not be written, or a file not be read.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(
            f"expected to train in the memory there is, got: {_first_line(error)} {_GO_ON} `invrim plan` tells what "
            f"fits; model.memory_budget, model.tile and a smaller data.batch_size take less."
        ) from error
    except OSError as error:
        if isinstance(error, InvrimError):
            raise
        raise FileError(f"cannot go on in {recipe.out}: {reason(error)}. {_GO_ON}") from error
    except RuntimeError as error:
        if isinstance(error, InvrimError):
            raise
        _say_which(error)
        raise


def _say_which(error: RuntimeError) -> None:
    text = str(error)
    if killed := re.search(
        r"DataLoader worker \(pid\(?s?\)?:? ?([\d, ]+)\).*?(?:killed by signal: (\w+)|exited)", text
    ):
        raise RunError(
            f"expected loader processes to live as long as the run, got process {killed[1].strip()} killed"
            f"{f' by signal {killed[2]}' if killed[2] else ''}. Often memory ran out: lower data.workers or "
            f"data.batch_size. {_GO_ON}"
        ) from error
    if isinstance(error, torch.distributed.DistBackendError) or "gloo/transport" in text:
        raise RunError(
            f"expected all processes of the run to live as long as it, got one that ended: {_first_line(error)} Its "
            f"own message says why. {_GO_ON}"
        ) from error
    if "not enough memory" in text:  # how torch says it on a CPU
        raise RunError(
            f"expected to train in the memory there is, got: {_first_line(error)} {_GO_ON} `invrim plan` tells what "
            f"fits; model.memory_budget, model.tile and a smaller data.batch_size take less."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") + "."
