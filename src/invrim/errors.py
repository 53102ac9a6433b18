"""Every error that invrim raises on purpose.

One root, so that a caller can catch them all; each child also inherits the builtin that says what kind of
mistake it is. A message says what was expected, what was found, and what to do.
"""

import contextlib
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType


class InvrimError(Exception):
    """Root of all errors raised on purpose by invrim."""


class ShapeError(InvrimError, ValueError):
    """Tensors whose sizes do not fit together."""


class OptionError(InvrimError, ValueError):
    """An argument or a recipe field outside its allowed values."""


class DataError(InvrimError, ValueError):
    """Measured data that cannot be used: missing entries, NaN, a mask of the wrong length."""


class FileError(InvrimError, OSError):
    """A file that is missing, damaged, of another kind, or cannot be written."""


class WriteError(FileError):
    """A file that cannot be written: its folder is missing or read-only, or its disk is full."""


class StreamError(InvrimError, ConnectionError):
    """A stream of measured data that ends early, stalls, is too long, or breaks its protocol."""


class WeightsError(InvrimError, ValueError):
    """Weights that this version cannot read or that do not fit the data."""


class MissingExtraError(InvrimError, ImportError):
    """An optional package is needed for what was asked."""


class TrainingError(InvrimError, ArithmeticError):
    """A training run that cannot go on, e.g. because its loss is no longer finite."""


class RunError(InvrimError, RuntimeError):
    """A run that something outside it ended, or does not let begin, e.g. a lack of memory."""


class StoppedError(RunError):
    """A signal asked a run to stop; it has written a checkpoint, from which it goes on when started again."""


class MemoryBudgetError(InvrimError, MemoryError):
    """A memory budget below what a training step needs at the least."""


class DriftError(InvrimError, ArithmeticError):
    """Reconstructed states too far from the true ones for gradients to be trusted."""


class InexactError(InvrimError, ArithmeticError):
    """A state that should have come back bit for bit, and did not."""


@contextlib.contextmanager
def about(name: str) -> Iterator[None]:
    """Put a file's name before the errors that its content causes, for code that has never heard of files."""
    try:
        yield
    except (ShapeError, DataError) as error:
        raise type(error)(f"{name}: {error}") from error


def import_extra(module: str, *, extra: str, to: str) -> ModuleType:
    """Import a module of an optional package, or say which extra brings it and what it is for.

    Raises
    ------
    MissingExtraError
        The package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"expected the package {module.partition('.')[0]} to {to}, got none installed. "
            f"Run: pip install 'invrim[{extra}]'"
        ) from error
