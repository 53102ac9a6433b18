"""The command `invrim`: choose a command, print its errors without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from invrim import __version__
from invrim.errors import InvrimError

COMMANDS = {
    "demo": "the whole story on this machine: data, training, unseen subject, report.html",
    "inspect": "what is in a raw file: matrix, coils, sampling, noise; a picture",
    "convert": "a raw file of any format in, one for fastMRI's, BART's or NumPy's users out",
    "simulate": "raw files of a simulated scan, from NIfTI volumes",
    "plan": "memory and time of a training run before it starts, and what else would fit",
    "train": "learn from a folder of scans: invrim train --config recipe.yaml",
    "reconstruct": "raw files in, images out",
    "serve": "reconstruct what a scanner streams: an MRD server",
    "evaluate": "reconstructions against targets, under a named protocol",
    "convert-weights": "a checkpoint of the code released in 2019 in, our weights out",
}

_USAGE = "usage: invrim [--help] [--version] COMMAND ...\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, or 2 for anything the user can put right."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_help())
        return 0
    if arguments[0] == "--version":
        print(f"invrim {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return _fail(f"expected a command of {', '.join(COMMANDS)}, got {name!r}. Try `invrim --help`.")
    try:
        import_module(f"invrim.cli.{name.replace('-', '_')}").main(rest)
    except (InvrimError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("invrim: interrupted", file=sys.stderr)
        return 130
    return 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    return (
        f"{_USAGE}\nLearned iterative reconstruction in memory that does not grow with depth.\n\ncommands:\n{lines}\n\n"
        f"`invrim COMMAND --help` says more of each."
    )


def _fail(message: str) -> int:
    print(f"invrim: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
