"""One of some processes that share a volume; a module of its own, so that a spawned process can import it.

Every case computes the same outcome twice: from the whole volume in one process, and from parts of it in several.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import invrim
from invrim import IRIM, InvertibleChain, ReversibleBlock
from invrim.errors import ShapeError
from invrim.layers import AdditiveCoupling, AffineCoupling, GlowStep, unshard
from invrim.operators import cartesian_fidelity, shard_fidelity
from invrim.sharding import Shard, exchange
from invrim.sharding.exchange import Group

Outcome = dict[str, Tensor]

SMALL = {"steps": 2, "hidden": [4, 5, 6], "strides": [1, 2, 1], "channels": 12}
GAIN = 8.0
"""Of the nets in blocks, which start small."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An i-RIM, a measurement of two volumes, and how they are divided."""

    options: dict[str, Any] = field(default_factory=dict)
    space: tuple[int, ...] = (9, 11)
    coils: int = 3
    with_maps: bool = True
    dim: int | None = None
    """None: the first axis."""
    dtype: torch.dtype = torch.double
    gain: float = GAIN
    every_step: bool = False
    by_ddp: bool = False
    """Let DistributedDataParallel add up the gradients."""
    loss_of_whole: bool = False
    """Each process computes a loss that looks at the joined image."""


CASES = {
    "store": Case(options={"backprop": "store"}),
    "invert": Case(),
    "exact": Case(options={"backprop": "exact"}),
    "7 rows": Case(options={"strides": [1, 1, 1]}, space=(7, 6)),
    "stride of 3, by ddp": Case(options={"strides": [1, 3, 1]}, space=(8, 10), coils=1, with_maps=False, by_ddp=True),
    "divided columns, a loss of the whole": Case(dim=-1, loss_of_whole=True),
    "centre in one part": Case(options={"normalisation_crop": 2, "normalisation_slack": 0.1}),
    "conjugate gradients": Case(options={"cg_iterations": 3}),
    "several images": Case(options={"images": 3, "channels": 16, "head": "combined", "metadata": 4}, with_maps=False),
    "eta of every step, shared": Case(
        options={"head": "eta", "share_weights": True, "step_codes": True}, every_step=True
    ),
    "tiles, exact": Case(options={"tile": [4, 6], "backprop": "exact"}, space=(12, 11)),
    "3d, tiles": Case(options={"ndim": 3, "tile": [2, 4, 8]}, space=(5, 6, 7), coils=2),
    "3d, exact": Case(options={"ndim": 3, "backprop": "exact"}, space=(5, 6, 7), coils=2),
    "3d, divided columns": Case(options={"ndim": 3}, space=(4, 5, 7), dim=-1),
    "float32": Case(dtype=torch.float, gain=1.0),
    "float32, store, 3d": Case(
        options={"ndim": 3, "backprop": "store"}, space=(5, 6, 7), coils=2, dtype=torch.float, gain=1.0
    ),
}


def model_of(case: Case) -> IRIM:
    torch.manual_seed(4)
    model = IRIM(**{**SMALL, **case.options})
    model.scale_blocks(case.gain)
    return model.to(case.dtype)


def measurement_of(case: Case) -> tuple[Tensor, Tensor, Tensor | None]:
    """K-space and maps, which require gradients, and masks: another one for each volume, constant along the cut."""
    generator = torch.Generator().manual_seed(3)
    cut = case.dim or -len(case.space)
    lines = [1 if axis == cut else n for axis, n in enumerate(case.space, -len(case.space))]
    mask = (torch.rand(2, 1, *lines, generator=generator) < 0.5).to(case.dtype)
    shape = (2, case.coils, *case.space)
    kspace, maps = (torch.randn(shape, dtype=case.dtype.to_complex(), generator=generator) for _ in range(2))
    return (mask * kspace).requires_grad_(), mask, maps.requires_grad_() if case.with_maps else None


def metadata_of(model: IRIM) -> dict[str, Tensor]:
    numbers = torch.arange(2.0 * model.metadata).reshape(2, -1).to(next(model.parameters()).dtype)
    return {"metadata": numbers} if model.metadata else {}


def loss(images: Tensor, part_of: Callable[[Tensor], Tensor], whole: Sequence[int]) -> Tensor:
    """Not symmetric: every voxel counts otherwise."""
    weights = torch.randn(whole, dtype=images.real.dtype, generator=torch.Generator().manual_seed(5))
    return (part_of(weights) * images.abs().square()).sum()


def whole(case: Case) -> Outcome:
    model, (kspace, mask, maps) = model_of(case), measurement_of(case)
    images = model(cartesian_fidelity(kspace, mask, maps), every_step=case.every_step, **metadata_of(model))
    loss(images, lambda x: x, images.shape).backward()
    return outcome(images, model, kspace, maps)


def in_parts(case: Case, group: Group) -> Outcome:
    """The same, by this process and the others of its group."""
    model, (kspace, mask, maps) = model_of(case), measurement_of(case)
    shard = invrim.shard(model, group, dim=case.dim)
    fidelity = shard_fidelity(kspace, mask, maps, shard=shard)
    called = DistributedDataParallel(model, process_group=group) if case.by_ddp else model
    images = called(fidelity, every_step=case.every_step, **metadata_of(model))
    joined = shard.gather(images)
    if case.loss_of_whole:
        (loss(joined, lambda x: x, joined.shape) / shard.count).backward()
    else:
        (loss(images, shard.cut, joined.shape) * (shard.count if case.by_ddp else 1)).backward()
    read = [kspace] if maps is None else [kspace, maps]
    if case.by_ddp:  # of the loss times the number of processes
        for tensor in read:
            tensor.grad /= shard.count
    shard.sum_gradients(read if case.by_ddp else [*model.parameters(), *read])
    return outcome(joined, model, kspace, maps)


def outcome(images: Tensor, model: nn.Module, *read: Tensor | None) -> Outcome:
    tensors = {"image": images.detach()}
    tensors |= {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return tensors | {f"read {i}": t.grad for i, t in enumerate(read) if t is not None}


def couplings() -> InvertibleChain:
    torch.manual_seed(6)
    halves = ("first", "second")
    steps = [AdditiveCoupling(6, 4, 2, update=half) for half in halves]
    steps += [AffineCoupling(6, 4, 1, update=half) for half in halves]
    return InvertibleChain([*steps, GlowStep(6, 4, 2), ReversibleBlock(6, 5)]).double()


def state() -> Tensor:
    return torch.randn(2, 6, 9, 8, dtype=torch.double, generator=torch.Generator().manual_seed(7))


def chain_and_its_input(group: Group | Literal["alone"]) -> Outcome:
    """Other layers than the i-RIM's, the gradient of their input, and a gradient of gradients."""
    chain, z = couplings(), state().requires_grad_()
    shard = None if group == "alone" else invrim.shard(chain, group)
    part_of = shard.cut if shard else lambda x: x
    out = chain(part_of(z))
    (slope,) = torch.autograd.grad((part_of(state()) * out.sin()).sum(), z, create_graph=True)
    # A part's `slope` is that of the whole in its own rows, and zero in the others.
    slope.square().sum().backward()
    tensors = {"state": out.detach(), "slope": part_of(slope).detach(), "back": chain.inverse(out).detach()}
    if shard:
        shard.sum_gradients([z, *chain.parameters()])
        tensors = {name: shard.gather(tensor) for name, tensor in tensors.items()}
    return tensors | {"read": z.grad} | {name: p.grad for name, p in chain.named_parameters() if p.grad is not None}


def messages(group: Group) -> dict[str, Any]:
    """How often edges are exchanged in a forward pass, and in a backward pass; and how states come back."""
    counts: dict[str, Any] = {}
    original = exchange._swap
    for mode in ("store", "invert", "exact"):
        case = Case(options={"backprop": mode, "head": "eta"})
        model, (kspace, mask, maps) = model_of(case), measurement_of(case)
        shard = invrim.shard(model, group)
        fidelity = shard_fidelity(kspace, mask, maps, shard=shard)
        calls = []
        exchange._swap = lambda *arguments, calls=calls: (calls.append(1), original(*arguments))[1]
        images = model(fidelity)
        forward = len(calls)
        images.abs().sum().backward()
        counts[mode] = forward, len(calls) - forward
        exchange._swap = original
        if mode != "store":
            counts[f"drift, {mode}"] = float(model.chain.watch.take())
    return counts | {"drift, exact, bf16": drift_with_bf16_nets(group)}


def drift_with_bf16_nets(group: Group) -> float:
    case = Case(options={"backprop": "exact"}, dtype=torch.float)
    model, (kspace, mask, maps) = model_of(case), measurement_of(case)
    shard = invrim.shard(model, group)
    fidelity = shard_fidelity(kspace, mask, maps, shard=shard)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(fidelity).abs().sum().backward()
    return float(model.chain.watch.take())


def without_exchange(group: Group) -> Outcome:
    """What every process makes of its part when it believes that it is alone: a planted fault."""
    case = CASES["invert"]
    model, (kspace, mask, maps) = model_of(case), measurement_of(case)
    shard = invrim.shard(model, group)
    fidelity = shard_fidelity(kspace, mask, maps, shard=shard)
    unshard(model.chain)
    images = model(fidelity)
    return {"image": shard.gather(images).detach()}


def complaints(group: Group) -> dict[str, str]:
    """What is said, in every process, about parts that cannot be."""
    shard = Shard(group, dim=-2, unit=2)
    rank, count = shard.rank, shard.count
    parts = {
        "odd": torch.zeros(2, 3, 5),
        "widths": torch.zeros(2, 4, 5 + rank),
        "nothing": torch.zeros(2, 4 * min(1, count - 1 - rank), 5),
        "few": torch.zeros(2, 2 * count - 2, 5),
    }
    said = {}
    for name, part in parts.items():
        try:
            shard.cut(part) if name == "few" else shard.part(part)
        except ShapeError as error:
            said[name] = str(error)
    return said


def work(rank: int, count: int, folder: Path) -> None:
    """Go through everything in all processes, then in all but the first, and write it down."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=count)
    fewer = dist.new_group(range(1, count))
    for group in (None, fewer) if rank > 0 else (None,):
        found: dict[str, Any] = {name: in_parts(case, group) for name, case in CASES.items()}
        found["chain"] = chain_and_its_input(group)
        found["messages"] = messages(group)
        found["without exchange"] = without_exchange(group)
        found["complaints"] = complaints(group)
        torch.save(found, folder / f"{dist.get_rank(group)} of {dist.get_world_size(group)}.pt")
    dist.barrier()
    dist.destroy_process_group()
