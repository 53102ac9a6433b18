"""Every file belongs to exactly one task."""

from pathlib import Path

import pytest

from invrim.errors import OptionError
from invrim.reconstruction import Shard

FILES = [Path(f"{n:02}.h5") for n in range(11)]


def slurm(task, first=0, count=4, **others):
    environment = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_COUNT": count}
    environment |= {f"SLURM_ARRAY_TASK_{name.upper()}": value for name, value in others.items()}
    return {name: str(value) for name, value in environment.items()}


@pytest.mark.parametrize("count", [1, 2, 3, 11, 13])
def test_shards_are_a_partition_of_about_equal_parts(count):
    parts = [Shard.parse(f"{n}/{count}").of(FILES) for n in range(count)]
    assert sorted(path for part in parts for path in part) == FILES
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("environments", "what"),
    [
        ([slurm(n) for n in range(4)], "--array=0-3"),
        ([slurm(n, first=1, last=0) | {"SLURM_ARRAY_TASK_MAX": "4"} for n in range(1, 5)], "--array=1-4"),
        ([slurm(n, first=2, max=11, step=3) for n in (2, 5, 8, 11)], "--array=2-11:3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_tasks_of_a_slurm_array_are_the_shards(environments, what):
    parts = [Shard.parse("slurm", environment) for environment in environments]
    assert [(part.number, part.count) for part in parts] == [(0, 4), (1, 4), (2, 4), (3, 4)], what


def test_one_task_that_is_sent_again_alone_takes_all():
    """With --skip-existing that is what is left, whichever tasks failed."""
    assert Shard.parse("slurm", slurm(3, first=3, count=1, max=3)).of(FILES) == FILES


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("4/4", {}, "i from 0 to n - 1, got '4/4'"),
        ("0/0", {}, "got '0/0'"),
        ("-1/4", {}, "got '-1/4'"),
        ("1", {}, "got '1'"),
        ("slurm", {}, "got no number in SLURM_ARRAY_TASK_ID. Submit it with sbatch --array"),
        ("slurm", slurm(5, first=1, count=3, max=7), "evenly numbered tasks, got 3 from 1 to 7 in steps of 1"),
    ],
)
def test_what_is_no_shard(text, environment, message):
    with pytest.raises(OptionError, match=message.replace("(", r"\(")):
        Shard.parse(text, environment)
