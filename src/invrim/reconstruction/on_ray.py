"""The same on a cluster, through Ray Data: every worker has a model of its own and takes files as it gets free.

All machines have invrim installed, and see raw files, weights and the folder of results under the same paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from invrim.errors import InvrimError, OptionError, import_extra
from invrim.files import require_writable
from invrim.models import load_model
from invrim.models.weights import find_weights
from invrim.reconstruction.archive import reconstruct_archive
from invrim.reconstruction.job import Job
from invrim.reconstruction.status import Outcome

LOCAL = "local"
"""Address of a cluster of this machine alone, started for the files and stopped after them."""
_FILES = 8
"""That a worker takes at once; within these the next is read while one is computed."""


def reconstruct_on_ray(
    weights: str | Path,
    paths: Sequence[Path],
    job: Job,
    *,
    address: str = "auto",
    workers: int = 1,
    device: str = "auto",
    skip_existing: bool = False,
    shard: str = "0/1",
) -> Iterator[Outcome]:
    """Reconstruct files as `invrim.reconstruction.archive.reconstruct_archive` does, on a Ray cluster.

    A worker that dies is replaced and its files are taken again, with ``skip_existing`` all but those it finished.

    Parameters
    ----------
    weights
        A file, or the name of weights that ship.
    paths, job, skip_existing, shard
        As there.
    address
        Of the cluster as `ray.init` takes it: "auto" for the one this machine is part of, "local" for a new one of this
        machine alone.
    workers
        Models at work, each on a processor or a GPU of its own.
    device
        "cpu", "cuda", or "auto", which is cuda where the cluster has GPUs.

    Raises
    ------
    MissingExtraError
        Without the extra ``ray``.
    OptionError
        There is no cluster, or fewer workers than one.
    FileError
        There are no such weights, or nothing can be written into ``job.out``.
    """
    ray = import_extra("ray", extra="ray", to="work on a cluster")
    data = import_extra("ray.data", extra="ray", to="work on a cluster")
    if workers < 1:
        raise OptionError(f"expected at least one worker, got {workers}. Raise --ray-workers.")
    require_writable(job.out)
    # A worker has a working folder of its own, in which relative paths mean another place.
    known = {str(path.absolute()): path for path in paths}
    options = {
        "weights": str(find_weights(weights).absolute()),
        "job": replace(job, out=job.out.absolute()),
        "skip_existing": skip_existing,
        "shard": shard,
    }
    _join(ray, address, workers)
    try:
        uses_gpu = device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
        data.DataContext.get_current().enable_progress_bars = False
        blocks = max(1, -(-len(known) // _FILES))
        rows = data.from_items([{"path": path} for path in known], override_num_blocks=blocks).map_batches(
            _Worker, fn_constructor_kwargs={**options, "device": "cuda" if uses_gpu else "cpu"}, batch_size=_FILES,
            compute=data.ActorPoolStrategy(size=workers), num_gpus=1 if uses_gpu else 0,
        )  # fmt: skip
        for row in rows.iter_rows():
            yield _outcome(row, known[row["path"]], job)
    finally:
        if address == LOCAL:
            ray.shutdown()


class _Worker:
    """One model, in a process of the cluster; takes a few paths and returns what became of each."""

    def __init__(self, *, weights: str, device: str, job: Job, skip_existing: bool, shard: str) -> None:
        self._model = load_model(weights, device=device)
        self._job, self._skip_existing, self._shard = job, skip_existing, shard

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        outcomes = list(
            reconstruct_archive(
                self._model, [Path(path) for path in batch["path"]], self._job,
                skip_existing=self._skip_existing, shard=self._shard,
            )
        )  # fmt: skip
        return {
            "path": [str(outcome.path) for outcome in outcomes],
            "status": [outcome.status for outcome in outcomes],
            "reason": [outcome.reason or "" for outcome in outcomes],
        }


def _outcome(row: dict[str, Any], path: Path, job: Job) -> Outcome:
    has_result = row["status"] in {"reconstructed", "already there"}
    return Outcome(
        path=path,
        status=row["status"],
        result=job.outputs(path)["images"] if has_result else None,
        error=InvrimError(row["reason"]) if row["reason"] else None,
    )


def _join(ray: Any, address: str, workers: int) -> None:
    """Become a client of the cluster, where this process is none yet."""
    if ray.is_initialized():
        return
    size = {"num_cpus": workers} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False, **size)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OptionError(
            f"expected a Ray cluster at {address!r}, got none ({' '.join(str(error).split())[:120]}). Start one with "
            f"`ray start --head`, or write --ray {LOCAL}."
        ) from error
