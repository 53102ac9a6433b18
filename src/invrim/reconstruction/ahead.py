"""Let the work of an iterator run ahead, in a thread, as far as a bounded queue lets it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@contextlib.contextmanager
def ahead(items: Iterator[T], depth: int = 1) -> Iterator[Iterator[T]]:
    """Yield an iterator over the same items, which are made in a thread while the caller works on earlier ones.

    What the iterator raises comes out where its next item would have. On leaving, its thread ends after the item that
    it is at.

    Parameters
    ----------
    items
        Made one after the other.
    depth
        Finished items that wait at most; one more is in the making.
    """
    queue: Queue[_Item[T] | BaseException | None] = Queue(maxsize=depth)
    stop = Event()

    def make() -> None:
        try:
            for item in items:
                queue.put(_Item(item))
                if stop.is_set():
                    return
            queue.put(None)
        except BaseException as error:  # the caller's thread raises it
            queue.put(error)

    thread = Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        yield _taken(queue)
    finally:
        stop.set()
        while thread.is_alive():
            with contextlib.suppress(Empty):  # makes room, for it may wait to put
                queue.get(timeout=0.02)
        thread.join()


def _taken(queue: Queue[_Item[T] | BaseException | None]) -> Iterator[T]:
    while (item := queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item.value
