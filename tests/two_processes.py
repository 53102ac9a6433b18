"""One of two processes that train a chain together; a module of its own, so that a spawned process can import it."""

import faulthandler
from itertools import product
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from invrim import InvertibleChain
from plain_autograd import blocks

CASES = list(product(["unshared", "shared"], ["dynamic", "static"], ["parameters", "input too"]))
"""Weights, graph, and what requires gradients."""


def chain_of(weights: str, mode: str) -> InvertibleChain:
    first, second, *rest = blocks()
    return InvertibleChain([first, second, first] if weights == "shared" else [first, second, *rest], backprop=mode)


def batch(seed: int) -> Tensor:
    return torch.randn(4, 5, 6, 7, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def train(rank: int, folder: Path, mode: str) -> None:
    """Go through all cases, two iterations each, and write the gradients of the last and the drift of both."""
    faulthandler.dump_traceback_later(120, exit=True)  # a process that hangs says where
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    gradients, drifts = {}, {}
    for case in CASES:
        weights, graph, wanted = case
        model = DistributedDataParallel(chain_of(weights, mode), static_graph=graph == "static")
        for seed in (1, 2):
            model.zero_grad()
            z = batch(seed).chunk(2)[rank].requires_grad_(wanted == "input too")
            model(z).sin().sum().backward()
        gradients[case] = [p.grad for p in model.parameters()]
        drifts[case] = float(model.module.watch.take())
    torch.save((gradients, drifts), folder / f"{rank}.pt")
    dist.destroy_process_group()
