"""Reconstruct many files: the next is read and the last one written while a model computes.

Three stages, of which reading and writing have a thread each: read -> compute -> write. Between them wait a part or two
of a scan and a result or two, so that memory does not grow with the number of files, nor, of formats that are read in
parts, with theirs. A file that cannot be read or reconstructed is left out and named; whatever stops a run, what is
there is complete, and another run with ``skip_existing`` goes on from it.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invrim.data.scan import Scan
from invrim.errors import FileError
from invrim.files import remove_leftovers, require_writable
from invrim.models import Solver
from invrim.reconstruction.ahead import ahead
from invrim.reconstruction.job import Job
from invrim.reconstruction.passage import Part, read_parts
from invrim.reconstruction.record import is_record_of
from invrim.reconstruction.source import source_of
from invrim.reconstruction.status import Outcome, status_file, write_status
from invrim.reconstruction.volume import Making, Result, open_for, write_result

OnProgress = Callable[[Path, int, int], None]
OnNotice = Callable[[Path, str], None]
_RESULTS = 2
"""That wait to be written at most."""


def reconstruct_archive(
    model: Solver,
    paths: Sequence[Path],
    job: Job,
    *,
    skip_existing: bool = False,
    shard: str = "0/1",
    on_progress: OnProgress | None = None,
    on_notice: OnNotice | None = None,
) -> Iterator[Outcome]:
    """Reconstruct files, as `invrim.reconstruction.volume.reconstruct_file` does each, and yield what becomes of them.

    Every outcome is written to ``job.out / "status" / NAME.json`` too. Once nothing can be written any more, the rest
    is not tried.

    Parameters
    ----------
    model, job
        As of `reconstruct_file`.
    paths
        Raw files.
    skip_existing
        Leave results alone that are complete, and of the same raw file, weights and options, as their record says.
    shard
        Which part of a larger list this is, for the status.
    on_progress
        Called with a file, its slices done and their number.
    on_notice
        Called with a file and a notice of its reader, before it is computed.

    Raises
    ------
    FileError
        Nothing can be written into ``job.out``: before anything is computed.
    """
    require_writable(job.out)
    _remove_leftovers(paths, job)
    maker = job.maker(model)
    left = dict.fromkeys(paths)
    reading = _read(paths, job, maker if skip_existing else None, slab=model.ndim == 3)
    with ahead(reading) as events, _Writer(job, shard) as writer:
        for finished in _computed(model, events, job, maker=maker, on_progress=on_progress, on_notice=on_notice):
            for outcome in writer.taken(finished):
                del left[outcome.path]
                yield outcome
            if writer.stopped:
                break
        for outcome in writer.rest():
            del left[outcome.path]
            yield outcome
    yield from (Outcome(path=path, status="not tried") for path in left)


@dataclass(frozen=True)
class _Opened:
    path: Path
    scan: Scan


@dataclass(frozen=True)
class _Read:
    """All parts of a file have been read."""

    source: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class _Computed:
    path: Path
    result: Result
    seconds: dict[str, float]


def _read(
    paths: Sequence[Path], job: Job, maker: dict[str, Any] | None, *, slab: bool
) -> Iterator[_Opened | Part | _Read | Outcome]:
    """Open and read one file after the other; skip those that this maker has made already."""
    for path in paths:
        start = time.perf_counter()
        try:
            if maker is not None and is_whole(path, job, maker):
                yield Outcome(path=path, status="already there", result=job.outputs(path)["images"])
                continue
            scan = open_for(path, job)
            seconds = time.perf_counter() - start
            yield _Opened(path, scan)
            parts = read_parts(scan, job, slab=slab)
            while True:
                start = time.perf_counter()
                part = next(parts, None)
                seconds += time.perf_counter() - start
                if part is None:
                    break
                yield part
            yield _Read(source_of(path), seconds)
        except Exception as error:  # one bad file must not cost the others
            yield Outcome(path=path, status="failed", error=error)


def _remove_leftovers(paths: Sequence[Path], job: Job) -> None:
    """Remove what an earlier run, killed while it wrote, left of these files under temporary names."""
    results = [result for path in paths for result in job.outputs(path).values()]
    for folder in {result.parent for result in results if result.parent.is_dir()}:
        remove_leftovers(folder, {result.name for result in results})


def is_whole(path: Path, job: Job, maker: dict[str, Any]) -> bool:
    """Whether all results of a raw file are there, complete, and those that this maker would make again."""
    outputs = job.outputs(path)
    return all(result.exists() for result in outputs.values()) and is_record_of(
        outputs["record"], outputs["images"], maker, path, job.also
    )


def _computed(
    model: Solver,
    events: Iterator[_Opened | Part | _Read | Outcome],
    job: Job,
    *,
    maker: dict[str, Any],
    on_progress: OnProgress | None,
    on_notice: OnNotice | None,
) -> Iterator[_Computed | Outcome]:
    """Reconstruct what comes, and pass on what was settled before."""
    making: Making | None = None
    path, slices, seconds = Path(), 0, 0.0
    for event in events:
        start = time.perf_counter()
        if isinstance(event, Outcome):
            making = None
            yield event
            continue
        try:
            if isinstance(event, _Opened):
                path, header, seconds, making = event.path, event.scan.header, 0.0, None
                if on_notice is not None:
                    for notice in header.notices:
                        on_notice(path, notice)
                slices, making = header.slices, Making(model, event.scan, job)
            elif making is not None and isinstance(event, Part):
                making.add(event)
                if on_progress is not None:
                    on_progress(path, event.slices.stop, slices)
            elif making is not None and isinstance(event, _Read):
                took = {"read": event.seconds, "compute": seconds}
                yield _Computed(path, making.result(maker, event.source), took)
                making = None
        except Exception as error:  # as in `_read`
            making = None
            yield Outcome(path=path, status="failed", error=error)
        seconds += time.perf_counter() - start


class _Writer:
    """Writes results and statuses in a thread, in order, a bounded number behind."""

    def __init__(self, job: Job, shard: str) -> None:
        self._job, self._shard = job, shard
        self._pool = ThreadPoolExecutor(1, "write")
        self._pending: deque[Future[Outcome]] = deque()
        self.stopped = False
        """Whether nothing more can be written."""

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def taken(self, finished: _Computed | Outcome) -> Iterator[Outcome]:
        """Take what is finished, and return what has been written; waits while too much is pending."""
        self._pending.append(self._pool.submit(self._write, finished))
        while self._pending and (len(self._pending) > _RESULTS or self._pending[0].done()):
            yield self._pending.popleft().result()

    def rest(self) -> Iterator[Outcome]:
        """Wait for what is pending."""
        while self._pending:
            yield self._pending.popleft().result()

    def _write(self, finished: _Computed | Outcome) -> Outcome:
        outcome = finished if isinstance(finished, Outcome) else self._result(finished)
        if outcome.status != "already there" or not status_file(self._job.out, outcome.path).exists():
            with contextlib.suppress(FileError):  # the result counts, and a failure is said on the terminal too
                write_status(self._job.out, outcome, self._shard)
        return outcome

    def _result(self, finished: _Computed) -> Outcome:
        start = time.perf_counter()
        try:
            result = write_result(finished.path, self._job, finished.result)
        except Exception as error:  # as in `_read`
            try:
                require_writable(self._job.out)
            except FileError:
                self.stopped = True
            return Outcome(path=finished.path, status="failed", error=error)
        seconds = {**finished.seconds, "write": time.perf_counter() - start}
        return Outcome(path=finished.path, status="reconstructed", result=result, seconds=seconds)
