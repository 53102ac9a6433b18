"""What the commands share: a parser with defaults in its help, a progress bar on the terminal."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator

from invrim.errors import OptionError

RAW_FILE = "raw file: fastMRI or ISMRMRD .h5, BART .cfl, Siemens .dat, .npy, .npz or .mat"
AXES = 'names of an array\'s axes, e.g. "coil ky kx"; only of arrays, which do not say it themselves'


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells defaults that are values, not those of switches, which are off, and of what has none."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        is_value = action.nargs != 0 and action.default is not None
        return super()._get_help_string(action) if is_value else action.help


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """Make the parser of a command."""
    return argparse.ArgumentParser(prog=f"invrim {command}", description=description, formatter_class=_Help)


def device_of(name: str) -> str:
    """Device of ``--device auto``, ``cpu`` or ``cuda``."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("expected a CUDA device for --device cuda, got none on this machine. Use --device cpu.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Callable[..., None]]:
    """Show a bar, on a terminal; yield a function of what is done, how much there is, and maybe another text."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console()
    with Progress(transient=True, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=None)

        def update(done: int, total: int, now: str = text) -> None:
            progress.update(task, completed=done, total=total, description=now)

        yield update
