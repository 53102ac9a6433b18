"""The part of a volume that one process holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from invrim.errors import OptionError, ShapeError
from invrim.sharding.exchange import Group, collected, gathered, total, with_neighbours

_BUCKET_BYTES = 25 * 2**20
"""As in DistributedDataParallel."""


class Part(NamedTuple):
    """Which rows a process holds, and which the others."""

    sizes: tuple[int, ...]
    """Rows of every process."""
    rank: int

    @property
    def first(self) -> int:
        """Number of the first row here."""
        return sum(self.sizes[: self.rank])

    @property
    def rows(self) -> int:
        """Rows here."""
        return self.sizes[self.rank]

    @property
    def whole(self) -> int:
        """Rows of the volume."""
        return sum(self.sizes)


class Shard:
    """Divide volumes along one axis among the processes of a group, in the order of their ranks.

    `invrim.shard` makes one. What is differentiated is the sum of the losses of all processes: each calls ``backward``
    on its own, and `sum_gradients` adds up what the parameters, which every process has, received in each.

    Parameters
    ----------
    group
        Process group; None is the default one.
    dim
        The axis that is divided, from the end: ``-2`` of images ``(b, y, x)``, k-space and states are rows.
    unit
        Rows that must not be separated: the least common multiple of the strides of the network.

    Raises
    ------
    OptionError
        If there is no process group, this process is not in it, or ``dim`` is not negative.
    """

    def __init__(self, group: Group = None, *, dim: int, unit: int = 1) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise OptionError(
                "expected a process group to divide volumes among, got none. Start the program with torchrun and call "
                "torch.distributed.init_process_group."
            )
        if dist.get_rank(group) < 0:
            raise OptionError("expected a process of the group, got another one. Shard with the group that it is in.")
        if dim > -1 or unit < 1:
            raise OptionError(f"expected dim < 0, from the end, and unit >= 1, got {dim} and {unit}. Correct them.")
        self.group = group
        self.dim = dim
        self.unit = unit

    @property
    def rank(self) -> int:
        """Number of this process in its group."""
        return dist.get_rank(self.group)

    @property
    def count(self) -> int:
        """Processes in the group."""
        return dist.get_world_size(self.group)

    def sizes(self, rows: int) -> tuple[int, ...]:
        """Rows of every process, as equal as can be: multiples of `unit`, but for the last."""
        units = -(-rows // self.unit)
        if units < self.count:
            raise ShapeError(
                f"expected at least {self.count} times {self.unit} rows along axis {self.dim}, as many as processes "
                f"times the largest stride, got {rows}. Use fewer processes, smaller strides, or another axis."
            )
        stops = [min(rows, self.unit * (i * units // self.count)) for i in range(self.count + 1)]
        return tuple(stop - start for start, stop in pairwise(stops))

    def cut(self, x: Tensor) -> Tensor:
        """View this process's part of a whole ``x``: an image, coil maps, a target; a copy frees the rest."""
        part = Part(self.sizes(x.shape[self.dim]), self.rank)
        return x.narrow(self.dim, part.first, part.rows)

    def gather(self, x: Tensor) -> Tensor:
        """Join the parts of all processes, differentiably; every process gets the whole.

        For a loss that needs the whole: computed by every process, it counts as many times. Divide it by `count`.
        """
        return gathered(x, self.dim, self.part(x).sizes, self.group)

    def total(self, x: Tensor) -> Tensor:
        """Sum ``x`` over the processes, differentiably and the same bits in each."""
        return total(x, self.group)

    def with_neighbours(self, x: Tensor) -> Tensor:
        """Put the neighbours' adjacent rows before and after ``x``, differentiably; zeros where the volume ends."""
        return with_neighbours(x, self.dim, self.group)

    def part(self, x: Tensor) -> Part:
        """Ask all processes how many rows of a volume they hold, and check that it is one volume.

        Raises
        ------
        ShapeError
            In every process, if the parts do not fit together, or are not multiples of `unit` but for the last.
        """
        shapes = [tuple(shape.tolist()) for shape in collected(torch.tensor(x.shape, device=x.device), self.group)]
        sizes = tuple(int(shape[self.dim]) for shape in shapes)
        others = {tuple(n for axis, n in enumerate(shape, -x.ndim) if axis != self.dim) for shape in shapes}
        if len(others) > 1 or min(sizes) < 1:
            raise ShapeError(
                f"expected parts of one volume, equal but along axis {self.dim}, got {shapes}. Cut them by cut()."
            )
        if any(n % self.unit for n in sizes[:-1]):
            raise ShapeError(
                f"expected parts of multiples of {self.unit} rows, the largest stride, but for the last, got {sizes}. "
                f"Cut them by cut()."
            )
        return Part(sizes, self.rank)

    def whole_along(self, tile: Sequence[int], space: Sequence[int]) -> tuple[int, ...]:
        """Make a tile as long as the part, so that the neighbours of both its ends are those of the part."""
        sizes = list(tile)
        sizes[self.dim] = space[self.dim]
        return tuple(sizes)

    @torch.no_grad()
    def sum_gradients(self, tensors: Iterable[Tensor]) -> None:
        """Add up the gradients of tensors that every process has, e.g. of parameters, in place.

        With `torch.nn.parallel.DistributedDataParallel` leave this out and multiply the loss by `count`: it takes the
        mean.
        """
        for bucket in _buckets(tensor.grad for tensor in tensors if tensor.grad is not None):
            joined = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(joined, group=self.group)
            for gradient, summed in zip(bucket, joined.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(summed.view_as(gradient))


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one kind that are sent together: a message costs more than the few numbers of a bias."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        is_full = sum(g.nbytes for g in bucket) + gradient.nbytes > _BUCKET_BYTES
        if bucket and (is_full or gradient.dtype != bucket[0].dtype or gradient.device != bucket[0].device):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


class Shardable:
    """A module that can work on a part of its volume; `invrim.shard` says which."""

    shard: Shard | None = None
    """None: the volume is whole."""
