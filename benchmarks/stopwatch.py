"""How long a piece of work takes where other processes share the processor."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object]) -> float:
    """Time that this process was given: what else runs on the machine hardly counts."""
    start = time.process_time()
    work()
    return time.process_time() - start
