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
        Memory did not suffice, or a process of the run was killed.
    FileError
        A log could not be written.
    """
    try:
        yield
    except InvrimError:
        raise
    except Exception as error:
        # torch notices a killed loader amid whatever runs then, which may make an error of its own out of that.
        said = next(filter(None, map(_in_one_line, _with_causes(error))), None)
        if said is not None:
            raise RunError(said) from error
        if isinstance(error, OSError):
            raise FileError(f"cannot go on in {recipe.out}: {reason(error)}. {_GO_ON}") from error
        raise


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _in_one_line(error: BaseException) -> str | None:
    """What to say of a failure from outside; None of one that is not."""
    text = str(error)
    first = (text.splitlines() or [type(error).__name__])[0].rstrip(".") + "."
    # The last is how torch says it on a CPU.
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in text:
        return (
            f"expected to train in the memory there is, got: {first} {_GO_ON} `invrim plan` tells what fits; "
            f"model.memory_budget, model.tile and a smaller data.batch_size take less."
        )
    if killed := _KILLED.search(text):
        signal = f" by signal {killed[2]}" if killed[2] else ""
        return _about_loaders(f"process {killed[1].strip()} killed{signal}")
    if isinstance(error, ConnectionError | EOFError):  # what is left of a loader that died while it handed over a batch
        return _about_loaders("a broken connection to one")
    if isinstance(error, torch.distributed.DistBackendError) or "gloo/transport" in text:
        return (
            f"expected all processes of the run to live as long as it, got one that ended: {first} Its own message "
            f"says why. {_GO_ON}"
        )
    return None


def _about_loaders(got: str) -> str:
    return (
        f"expected loader processes to live as long as the run, got {got}. Often memory ran out: lower data.workers or "
        f"data.batch_size. {_GO_ON}"
    )
