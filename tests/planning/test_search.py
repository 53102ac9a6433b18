"""The search finds the largest that fits, in few looks."""

import math

import pytest

from invrim.planning.search import largest_that_fits


@pytest.mark.parametrize("start", [1, 4, 90])
@pytest.mark.parametrize("largest", [1, 2, 37, 5000])
@pytest.mark.parametrize(
    "need", [lambda n: 5 + 3 * n, lambda n: 7 + n * n, lambda n: n + 4 * (n // 10)], ids=["line", "square", "leaps"]
)
def test_it_finds_the_largest(need, largest, start):
    looks = []

    def counted(n: int) -> float:
        looks.append(n)
        return need(n)

    found = largest_that_fits(counted, need(largest), start)
    assert found is not None
    assert need(found) <= need(largest)
    assert need(found) >= need(largest) * 0.9
    assert len(looks) == len(set(looks)) <= 14


def test_nothing_fits():
    assert largest_that_fits(lambda n: 10 + n, 10, 3) is None
    assert largest_that_fits(lambda n: 10 + n, 14, 9, smallest=5) is None


def test_no_addresses_is_too_much():
    assert largest_that_fits(lambda n: n if n < 6 else math.inf, 1e9, 1) == 5


def test_sizes_below_the_smallest_are_never_looked_at():
    looks = []

    def need(n: int) -> float:
        looks.append(n)
        return n

    assert largest_that_fits(need, 8, 20, smallest=4) == 8
    assert min(looks) == 4
