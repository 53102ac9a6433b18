"""What a training run will need, before it is started."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from invrim.errors import InvrimError
from invrim.planning.apart import Workshop, do_apart
from invrim.planning.kernels import GIVE_BACK, Convolution, MeasuredKernels, measure_rates, try_convolutions
from invrim.planning.libraries import LittleRuns
from invrim.planning.memory import peak_resident_bytes
from invrim.planning.phantoms import Phantoms

Stage = Callable[[str], None]
"""Told what begins: each ``"update"``, ``"validation"``, and the ``"end"``."""
Work = Callable[[Stage], Mapping[str, int]]
"""A short training run, which picklable functions make; returns what it holds, in bytes by name."""

_WORKSHOPS, _PASSES = 4, 2
"""How many processes go through a run, and how often each."""
_NO_ADDRESSES = "can't allocate memory"
"""What torch says then."""


class Run(NamedTuple):
    """What a run took, or would take."""

    held: Mapping[str, int]
    """Bytes by name."""
    training: int
    """Peak bytes until validation."""
    peak: int
    """Peak bytes, validation included."""
    seconds: float
    """Of the last update."""
    operations: int
    """Of the last update; 0 where they were not counted."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Bytes and seconds of a training run."""

    held: Mapping[str, int]
    """What stays between updates, by name, and the batch."""
    libraries: int
    """The interpreter, torch and Lightning, as they are after an update of next to nothing."""
    working: int
    """Activations and working space: all else at the peak."""
    peak: int
    """Their sum: the largest resident set of the training process, as a rule."""
    worst: int
    """The same when luck is bad: freed blocks are found again here and not there, from one start to the next."""
    in_validation: bool
    """Whether it is validation that needs the most."""
    seconds: float
    """Of an update."""


class Planner:
    """Foresees training runs on this machine's processor, calibrated in some seconds when it is entered.

    A run is gone through with phantoms for tensors (see `invrim.planning.phantoms`): the C library is asked for
    all that the real run would ask for, in the same order. What kernels take besides is tried on small tensors; what
    the libraries take is measured in a fresh process that trains on next to nothing. Nothing is fitted.

    Parameters
    ----------
    smallest
        A run like those to be foreseen, of as little as makes the libraries load what they need.
    """

    def __init__(self, smallest: Work) -> None:
        self._smallest = smallest
        self._workshops = [Workshop() for _ in range(_WORKSHOPS)]
        self._stack = ExitStack()
        self._kernels: MeasuredKernels
        self._libraries = self._worker = 0
        self._overhead = 0.0

    def __enter__(self) -> Planner:
        with ExitStack() as stack:
            for workshop in self._workshops:
                stack.enter_context(workshop)
            self._calibrate()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def forecast(self, work: Work) -> Forecast:
        """Foresee a run; the peak is the mean of some passes, in several processes, each with a heap of its own.

        Takes a pass to find out what to try, the trials, and the passes: seconds, unless there are thousands of blocks.
        """
        self._try_unknown(work)
        with ThreadPoolExecutor(_WORKSHOPS) as pool:  # threads that wait for processes
            turns = pool.map(lambda workshop: [self._foresee(work, workshop) for _ in range(_PASSES)], self._workshops)
            runs = [run for turn in turns for run in turn]
        peak, training = (round(statistics.mean(getattr(run, name) for run in runs)) for name in ("peak", "training"))
        run = runs[0]
        return Forecast(
            held=run.held,
            libraries=self._libraries,
            working=peak - sum(run.held.values()),
            peak=self._libraries + peak,
            worst=self._libraries + max(run.peak for run in runs),
            in_validation=peak > training,
            seconds=run.seconds + run.operations * self._overhead,
        )

    def peak(self, work: Work) -> float:
        """Foresee the peak alone, by one pass, with convolutions of other sizes standing in for those untried.

        Infinite where this machine does not even have addresses enough.
        """
        try:
            return self._libraries + self._foresee(work).peak
        except InvrimError as error:
            if _NO_ADDRESSES in str(error):
                return math.inf
            raise

    def growth(self, less: Work, more: Work) -> tuple[int, float]:
        """Bytes and seconds that one run takes beyond another, whatever becomes of freed blocks."""
        runs = [do_apart(partial(foresee, work, self._kernels), GIVE_BACK)[0] for work in (less, more)]
        seconds = [run.seconds + run.operations * self._overhead for run in runs]
        return runs[1].peak - runs[0].peak, seconds[1] - seconds[0]

    @property
    def worker(self) -> int:
        """Bytes of a process that loads data, besides its batches: what a fork of the training process soon has of its
        own, since Python writes into all its objects."""
        return self._worker

    def _calibrate(self) -> None:
        self._kernels = MeasuredKernels(self._workshops[0].ask(measure_rates))
        self._worker = self._workshops[0].ask(own_bytes)
        self._try_unknown(self._smallest)
        took = do_apart(partial(measure, self._smallest))
        foreseen = self._foresee(self._smallest)
        self._libraries = took.peak - foreseen.peak
        self._overhead = max(0.0, took.seconds - foreseen.seconds) / max(1, foreseen.operations)

    def _foresee(self, work: Work, workshop: Workshop | None = None) -> Run:
        run, _ = (workshop or self._workshops[0]).ask(partial(foresee, work, self._kernels))
        return run

    def _try_unknown(self, work: Work) -> None:
        _, unknown = self._workshops[0].ask(partial(foresee, work, self._kernels))
        if unknown:
            costs = do_apart(partial(try_convolutions, unknown), GIVE_BACK)
            self._kernels.convolutions.update(costs)


def measure(work: Work) -> Run:
    """Do the work in this process, a fresh one, and say what it took: its resident set at the peak, and the time."""
    notes: list[tuple[str, int, float, int]] = []
    held = work(lambda stage: notes.append((stage, peak_resident_bytes(), time.perf_counter(), 0)))
    return _run(notes, held, peak_resident_bytes())


def foresee(work: Work, kernels: MeasuredKernels) -> tuple[Run, list[Convolution]]:
    """Do the work with phantoms, and say what it would take above what is there; and which kernels are unknown."""
    kernels.unknown.clear()
    notes: list[tuple[str, int, float, int]] = []
    with Phantoms(kernels, LittleRuns()) as phantoms:
        held = work(lambda stage: notes.append((stage, phantoms.peak, phantoms.seconds, phantoms.operations)))
    return _run(notes, held, phantoms.peak), list(kernels.unknown)


def own_bytes() -> int:
    """Return what this process shares with no other (Linux)."""
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def _run(notes: list[tuple[str, int, float, int]], held: Mapping[str, int], peak: int) -> Run:
    places = {stage: number for number, (stage, *_) in enumerate(notes)}  # the last of each name
    _, _, began, before = notes[places["update"]]
    _, training, ended, after = notes[places["update"] + 1]
    return Run(held, training, peak, ended - began, after - before)
