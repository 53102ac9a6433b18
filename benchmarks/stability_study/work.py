"""Do one job of the plan."""

from __future__ import annotations

import time

from stability_study.contestants import CONTESTANTS, make_steps
from stability_study.errors import Facts, measure
from stability_study.plan import Job
from stability_study.task import Network, draw_batch
from stability_study.training import train, validation_batch

TEST_SEED = 2_000_000
"""Of the image that errors are measured on; no training sees it."""


def do(job: Job) -> Job:
    """Return the job with what came out of it and the processor's seconds."""
    start = time.process_time()
    facts = _training(job) if "steps" in job else {"errors": _errors(_network(job), job)}
    return {**job, **facts, "seconds": round(time.process_time() - start, 2)}


def _training(job: Job) -> Facts:
    """Train both ways from the same start on the same images.

    ``errors`` are those at the weights that plain autograd reaches: there, inversion would have to work.
    """
    how = {"steps": job["steps"], "rate": job["rate"], "seed": job["seed"]}
    stored = _network(job)
    facts = {"store": train(stored, "store", **how), "errors": _errors(stored, job)}
    return {**facts, "invert": train(_network(job), "invert", **how)}


def _errors(network: Network, job: Job) -> list[Facts]:
    return measure(network, draw_batch(1, TEST_SEED), job["precisions"])


def _network(job: Job) -> Network:
    batch = validation_batch()
    return Network(make_steps(CONTESTANTS[job["layer"]], job["depth"], job["seed"], batch[0], job["gain"]), batch)
