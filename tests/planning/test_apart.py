"""Work in other processes: results and errors come back, and a process that dies is told of."""

import os
from functools import partial

import pytest

from invrim.errors import InvrimError, OptionError
from invrim.invertible.budget import bytes_of
from invrim.planning.apart import Workshop, do_apart


def test_forks_are_fresh_and_errors_keep_their_kind():
    with Workshop() as workshop:
        first, second = workshop.ask(os.getpid), workshop.ask(os.getpid)
        assert len({first, second, os.getpid()}) == 3
        with pytest.raises(OptionError, match="expected a memory budget"):
            workshop.ask(partial(bytes_of, "much"))
        with pytest.raises(InvrimError, match="ZeroDivisionError"):
            workshop.ask(partial(divmod, 1, 0))
        assert workshop.ask(partial(max, 3, 4)) == 4


def test_without_forks_the_process_itself_works():
    with Workshop(forks=False) as workshop:
        assert workshop.ask(os.getpid) == workshop.ask(os.getpid)


def test_variables_reach_it():
    assert do_apart(partial(os.getenv, "MALLOC_MMAP_THRESHOLD_"), {"MALLOC_MMAP_THRESHOLD_": "65536"}) == "65536"


def test_a_death_is_told():
    with pytest.raises(InvrimError, match="got its end"):
        do_apart(partial(os._exit, 9))
    with Workshop() as workshop, pytest.raises(InvrimError, match="got its end"):
        workshop.ask(partial(os._exit, 9))
