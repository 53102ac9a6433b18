"""Items that are made ahead are the same ones, and no more of them than asked for."""

import threading
import time

import pytest

from invrim.reconstruction.ahead import ahead


def test_the_same_items_in_the_same_order():
    with ahead(iter(range(100)), depth=3) as items:
        assert list(items) == list(range(100))
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_no_more_wait_than_the_queue_holds():
    made = []

    def make():
        for n in range(50):
            made.append(n)
            yield n

    with ahead(make(), depth=2) as items:
        assert next(items) == 0
        time.sleep(0.1)
        assert len(made) == 1 + 2 + 1, "one taken, two that wait, one in the making"
    assert len(made) < 10, "on leaving it ends"


def test_errors_come_where_the_item_would_have():
    def make():
        yield 1
        raise KeyError("second")

    with ahead(make()) as items:
        assert next(items) == 1
        with pytest.raises(KeyError, match="second"):
            next(items)


def test_an_item_that_is_an_error_is_an_item():
    error = ValueError("mine")
    with ahead(iter([error, None])) as items:
        assert list(items) == [error, None]
