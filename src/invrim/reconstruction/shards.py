"""Divide files among the tasks of an array job, every file to exactly one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from invrim.errors import OptionError

SLURM = "slurm"
_ID, _FIRST, _LAST, _COUNT, _STEP = (
    f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT", "STEP")
)  # fmt: skip


@dataclass(frozen=True)
class Shard:
    """One of ``count`` equal parts of a list."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise OptionError(
                f"expected --shard i/n with i from 0 to n - 1, got '{self.number}/{self.count}'. Write e.g. 0/4."
            )

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Shard:
        """Read ``"i/n"``, or ``"slurm"``: this task's place among those of the SLURM array that it belongs to.

        Raises
        ------
        OptionError
            It is neither, or there is no array, or one whose tasks are not evenly numbered.
        """
        if text == SLURM:
            return cls._of_slurm(environment)
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise OptionError(f"expected --shard i/n with i from 0 to n - 1, or {SLURM}, got {text!r}. Write e.g. 0/4.")
        return cls(int(number), int(count))

    @classmethod
    def _of_slurm(cls, environment: Mapping[str, str]) -> Shard:
        if missing := [name for name in (_ID, _FIRST, _COUNT) if not environment.get(name, "").isdecimal()]:
            raise OptionError(
                f"expected a task of a SLURM array for --shard {SLURM}, got no number in {missing[0]}. Submit it with "
                f"sbatch --array, or write --shard i/n."
            )
        task, first, count = (int(environment[name]) for name in (_ID, _FIRST, _COUNT))
        last, step = int(environment.get(_LAST, first + count - 1)), int(environment.get(_STEP, 1))
        if last - first != (count - 1) * step or (task - first) % step:
            raise OptionError(
                f"expected a SLURM array of evenly numbered tasks, got {count} from {first} to {last} in steps of "
                f"{step}. Submit it as --array=0-{count - 1}, or write --shard i/n."
            )
        return cls((task - first) // step, count)

    def of(self, paths: Sequence[Path]) -> list[Path]:
        """Take this part's files of a sorted list: of all parts each file is in exactly one, of sizes within one."""
        return list(paths[self.number :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
