"""Peak memory of one training step against depth, each measurement in a process of its own."""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from invrim.errors import InvrimError, OptionError
from invrim.invertible import Invertible, InvertibleChain
from invrim.invertible.chain import Backprop
from invrim.layers import ReversibleBlock

MODES = ("store", "checkpoint", "invert")
"""Plain autograd, one `torch.utils.checkpoint` a block, and the chain's own walk back by inversion."""

_MMAP_THRESHOLD = "65536"
"""Bytes from which the measured process asks the system for every tensor and gives it back at once. The C library's
rule of thumb keeps freed blocks for later instead, and its fragmentation would be counted as the chain's."""

Progress = Callable[[str, int, int], None]


class CheckpointedChain(nn.Module):
    """Apply steps in order, each under `torch.utils.checkpoint`: its input is kept, its inside computed again."""

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, z: Tensor) -> Tensor:
        for step in self.steps:
            z = checkpoint(step, z, use_reentrant=False)
        return z


def memory_against_depth(
    depths: Sequence[int] = (8, 32, 128),
    modes: Sequence[str] = MODES,
    *,
    channels: int = 32,
    size: int = 128,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, list[int]]:
    """Measure the peak memory of a training step, mode by mode and depth by depth.

    Every number comes from a fresh process, which builds the chain and runs one forward and backward pass
    (`peak_growth` says what is counted). Takes a second or two of start-up a measurement, besides the step.

    Parameters
    ----------
    depths
        Numbers of reversible blocks, in the order of the result.
    modes
        Of `MODES`.
    channels, size
        State ``(1, channels, size, size)`` float32; the blocks are ``channels`` wide inside.
    device
        ``"cpu"``, or a CUDA device.
    on_progress
        Called with the mode, the measurements done, and their number, before each measurement and at the end.

    Returns
    -------
    Mode -> bytes at each depth.

    Raises
    ------
    OptionError
        If a mode is unknown or a depth is not positive.
    InvrimError
        If a measurement fails, e.g. because memory runs out.
    """
    _check(modes, depths)
    grown: dict[str, list[int]] = {mode: [] for mode in modes}
    jobs = [(mode, depth) for mode in modes for depth in depths]
    for done, (mode, depth) in enumerate(jobs):
        if on_progress is not None:
            on_progress(mode, done, len(jobs))
        grown[mode].append(_measure_apart(mode, depth, channels, size, device))
    if on_progress is not None and jobs:
        on_progress(jobs[-1][0], len(jobs), len(jobs))
    return grown


def peak_growth(mode: str, depth: int, *, channels: int = 32, size: int = 128, device: str = "cpu") -> int:
    """Run one training step here, and return by how many bytes it raised this process's peak memory.

    Counted is all that the step brings: parameters and their gradients, the input and its gradient, everything kept
    for the backward pass, and working space. Not counted is what was there before: the interpreter, torch and its
    libraries, warmed up by one step of one block on a small state. On the CPU this is the growth of the resident set
    from its size after the warm-up to its peak, in pages; on CUDA the peak of torch's allocator above what it held.
    Nothing else is subtracted. The peak is the process's own: call this once, in a fresh process. There, glibc's
    cache of freed blocks counts as well; `memory_against_depth` turns it off (``MALLOC_MMAP_THRESHOLD_``).
    """
    _check([mode], [depth])
    _train_step(mode, 1, channels, 8, device)
    return growth_during(lambda: _train_step(mode, depth, channels, size, device), device)


def growth_during(work: Callable[[], None], device: str = "cpu") -> int:
    """Do ``work``, and return by how many bytes it raised the peak memory above what was held before.

    On the CPU that is the process's own peak, which never comes down again: call it once, in a fresh process, after
    as small a warm-up as loads the libraries.
    """
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    before = resident_bytes()
    work()
    return peak_resident_bytes() - before


def run_apart(arguments: Sequence[str]) -> dict[str, Any]:
    """Run ``python ARGUMENTS`` in a fresh process fit for `growth_during`, and return the JSON object that it prints.

    Raises
    ------
    InvrimError
        If the process fails; the message is the last line of what it complained about.
    """
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": _MMAP_THRESHOLD}
    command = [sys.executable, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if process.returncode != 0:
        raise InvrimError((process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1])
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def saved_bytes(chain: nn.Module, z: Tensor, context: object = None) -> int:
    """Count the bytes that ``chain(z, context)`` keeps for its backward pass.

    Every tensor that autograd saves is asked for its storage; each storage counts once and in full, and those of
    parameters and buffers, which exist anyway, not at all. The input counts if it is kept.

    Parameters
    ----------
    chain
        Called as ``chain(z, context)``, or ``chain(z)`` without a context.
    z
        State ``(b, c, ...)``.
    context
        What every step may read.
    """
    owners = [owner for owner in (chain, context) if isinstance(owner, nn.Module)]
    own = {_address(t) for owner in owners for t in (*owner.parameters(), *owner.buffers())}
    # The tensors themselves are held: a freed storage's address may be handed out again.
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(_address(tensor), tensor)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = chain(z) if context is None else chain(z, context)
    del out
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own)


def resident_bytes() -> int:
    """Return what this process holds in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def peak_resident_bytes() -> int:
    """Return the most this process has held in memory (Linux).

    Not `getrusage`: its maximum survives ``exec``, so that a child of a large process starts with its parent's.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (kibibytes,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return 1024 * int(kibibytes)


def forget_peak() -> None:
    """Let `peak_resident_bytes` begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def build_chain(mode: str, depth: int, channels: int) -> nn.Module:
    """Build ``depth`` unshared reversible blocks that are differentiated as ``mode`` says."""
    blocks: list[Invertible] = [ReversibleBlock(channels, channels) for _ in range(depth)]
    if mode == "checkpoint":
        return CheckpointedChain(blocks)
    (backprop,) = (name for name in get_args(Backprop) if name == mode)
    return InvertibleChain(blocks, backprop=backprop)


def _train_step(mode: str, depth: int, channels: int, size: int, device: str) -> None:
    torch.manual_seed(depth)
    chain = build_chain(mode, depth, channels).to(device)
    z = torch.randn(1, channels, size, size, device=device, requires_grad=True)
    chain(z).square().mean().backward()


def _measure_apart(mode: str, depth: int, channels: int, size: int, device: str) -> int:
    arguments = ["-m", "invrim.planning.memory", "--mode", mode, "--depth", str(depth)]
    arguments += ["--channels", str(channels), "--size", str(size), "--device", device]
    try:
        return int(run_apart(arguments)["bytes"])
    except InvrimError as error:
        raise InvrimError(
            f"expected the peak memory of {depth} blocks with {mode!r}, got: {error}. Lower the depth or the size."
        ) from error


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _check(modes: Sequence[str], depths: Sequence[int]) -> None:
    if unknown := set(modes) - set(MODES):
        raise OptionError(f"expected modes of {', '.join(MODES)}, got {', '.join(sorted(unknown))}. Choose of these.")
    if any(depth < 1 for depth in depths):
        raise OptionError(f"expected depths of at least 1 block, got {list(depths)}. Leave the others out.")


def _main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of one training step in this process, as JSON.")
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    options = vars(parser.parse_args())
    print(json.dumps({**options, "bytes": peak_growth(**options)}))


if __name__ == "__main__":
    _main()
