"""The largest of something that still fits."""

from __future__ import annotations

from collections.abc import Callable

_LOOKS = 14
"""At most; between two neighbours fewer are needed unless the need grows by leaps."""


def largest_that_fits(need: Callable[[int], float], room: float, start: int, *, smallest: int = 1) -> int | None:
    """Return the largest number, from ``smallest`` on, whose need is at most ``room``; None if none fits.

    Needs must grow with the number, how does not matter: the next number looked at is where a straight line through the
    nearest two known ones meets ``room``. As each look may take seconds, it ends after `_LOOKS` of them, with a number
    that fits but need not be the largest.

    Parameters
    ----------
    need
        Of a number; infinite where it cannot be found.
    room
        What there is.
    start
        The number to begin with.
    """
    known = {start: need(start)}

    def look(number: int) -> None:
        known[number] = need(number)

    if known[start] > room and start > smallest:
        look(smallest)
    while len(known) < _LOOKS:
        fitting = [number for number in known if known[number] <= room]
        if not fitting:
            return None
        low = max(fitting)
        high = min((number for number in known if known[number] > room), default=None)
        if high == low + 1:
            break
        look(_next(known, low, high, room))
    return max((number for number in known if known[number] <= room), default=None)


def _next(known: dict[int, float], low: int, high: int | None, room: float) -> int:
    """Guess where the need is ``room``, between the bounds; without an upper bound, at most eight times further."""
    other = high if high is not None else max((number for number in known if number < low), default=None)
    if other is None or known[other] in (known[low], float("inf")):
        guess = 2 * low if high is None else (low + high) // 2
    else:
        slope = (known[other] - known[low]) / (other - low)
        guess = low + int((room - known[low]) / slope)
    return min(max(guess, low + 1), 8 * low if high is None else high - 1)
