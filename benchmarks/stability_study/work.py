"""Do one job of the plan."""

from __future__ import annotations

import time

from stability_study.contestants import CONTESTANTS, make_steps
from stability_study.errors import measure
from stability_study.plan import Job
from stability_study.task import Network, draw_batch, fitted_batch
from stability_study.training import train

TEST_SEED = 2_000_000
"""Of the state that errors are measured on; no training sees it."""


def do(job: Job) -> Job:
    """Return the job with what came out of it and the processor's seconds.

    ``errors`` are those of `stability_study.errors.measure` in the job's precisions, after the training if the job has
    one.
    """
    start = time.process_time()
    batch = fitted_batch()
    steps = make_steps(CONTESTANTS[job["layer"]], job["depth"], job["seed"], batch[0], job["gain"])
    network, facts = Network(steps, batch), {}
    if "mode" in job:
        facts = train(network, job["mode"], updates=job["updates"], rate=job["rate"], seed=job["seed"])
    errors = measure(network, draw_batch(1, TEST_SEED), job["precisions"]) if job["precisions"] else []
    return {**job, **facts, "errors": errors, "seconds": round(time.process_time() - start, 2)}
