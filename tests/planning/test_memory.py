"""Measured memory: invert stays where it is while the others grow, and failures say why."""

import pytest
import torch

from invrim.errors import InvrimError, OptionError
from invrim.planning.memory import build_chain, memory_against_depth, peak_growth, saved_bytes

CHANNELS, SIZE = 16, 96
STATE = CHANNELS * SIZE * SIZE * 4


def test_only_invert_stays_flat_in_fresh_processes():
    calls: list[tuple[str, int, int]] = []
    grown = memory_against_depth(
        (2, 24), channels=CHANNELS, size=SIZE, on_progress=lambda *arguments: calls.append(arguments)
    )
    added = {mode: (deep - shallow) / STATE for mode, (shallow, deep) in grown.items()}
    assert added["invert"] < 6  # parameters, gradients and pages of 22 more blocks; no activation among them
    assert added["checkpoint"] > 11  # at least half a state a block, whatever the allocator returns in between
    assert added["store"] > 3 * added["checkpoint"]
    assert calls[0] == ("store", 0, 6)
    assert calls[-1] == ("invert", 6, 6)


def test_modes_compute_the_same():
    z = torch.randn(2, 6, 5, 7)
    outputs = []
    for mode in ("store", "checkpoint", "invert"):
        torch.manual_seed(0)
        outputs.append(build_chain(mode, 3, 6)(z))
    for other in outputs[1:]:
        torch.testing.assert_close(other, outputs[0])


def test_saved_bytes_counts_a_storage_once_and_no_parameter():
    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3, 4))

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.weight * z + self.weight.mT.mT * z.view(3, 4)

    assert saved_bytes(Twice(), torch.randn(3, 4)) == 3 * 4 * 4


def test_a_wrong_mode_or_depth_is_refused():
    with pytest.raises(OptionError, match=r"expected modes of store, checkpoint, invert, got forget\. Choose"):
        memory_against_depth((2,), ["forget"])
    with pytest.raises(OptionError, match="at least 1 block"):
        peak_growth("invert", 0)


def test_a_failed_measurement_says_why():
    with pytest.raises(InvrimError, match=r"2 blocks with 'store', got: .*Lower the depth"):
        memory_against_depth((2,), ["store"], channels=8, size=8, device="nonsense")
