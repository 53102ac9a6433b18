"""Work done in other processes, whose memory is their own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Any, TypeVar

from invrim.errors import InvrimError

T = TypeVar("T")

_LENGTH = 8
"""Bytes before a message that say how long it is."""


class Workshop:
    """A process that does work of ours, each piece in a fork of its own: imports cost time once, memory is fresh.

    What the work needs is imported before the fork, so that every fork starts where a program is that has imported the
    same. Work and result travel as pickles between processes of this program.

    Parameters
    ----------
    environment
        Variables that it has besides ours.
    forks
        False: all work is done in the process itself.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, *, forks: bool = True) -> None:
        command = [sys.executable, "-m", "invrim.planning.apart", *([] if forks else ["--no-forks"])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **(environment or {})}
        )

    def __enter__(self) -> Workshop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def ask(self, work: Callable[[], T]) -> T:
        """Let the work be done, and return its result.

        Raises
        ------
        InvrimError
            What the work raised, or that its process ended without an answer, e.g. because memory ran out.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, pickle.dumps(work))
            answer = _receive(self._process.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise InvrimError(
                "expected a result of a trial in another process, got its end. Look for what ended it, e.g. too "
                "little free memory for the trial."
            )
        result = pickle.loads(answer)
        if isinstance(result, BaseException):
            raise result
        value: T = result
        return value


def do_apart(work: Callable[[], T], environment: Mapping[str, str] | None = None) -> T:
    """Do the work in a fresh process, and return its result; raises as `Workshop.ask`."""
    with Workshop(environment, forks=False) as workshop:
        return workshop.ask(work)


def _serve(requests: IO[bytes], answers: IO[bytes], *, forks: bool) -> None:
    while (request := _receive(requests)) is not None:
        work = pickle.loads(request)  # imports what it needs
        if not forks:
            _send(answers, _done(work))
            continue
        child = os.fork()
        if child == 0:
            _send(answers, _done(work))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            return


def _done(work: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps(work())
    except InvrimError as error:
        return pickle.dumps(error)
    except Exception as error:  # whatever it was, who asked is told
        return pickle.dumps(InvrimError(f"{type(error).__name__}: {error}"))


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_LENGTH, "big") + message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes | None:
    head = pipe.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    length = int.from_bytes(head, "big")
    message = pipe.read(length)
    return message if len(message) == length else None


def _main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the work prints is no answer
    _serve(sys.stdin.buffer, answers, forks="--no-forks" not in sys.argv)


if __name__ == "__main__":
    _main()
