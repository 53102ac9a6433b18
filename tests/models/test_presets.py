"""Named configurations, on the meta device: sizes without the weights."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from invrim import IRIM
from invrim.errors import OptionError
from invrim.layers import ReversibleBlock
from invrim.layers.mixing import OrthogonalMixing
from invrim.models.presets import PRESETS, preset

SIZES = {
    "fastmri-singlecoil-2019": (275_247_552, 480),
    "fastmri-multicoil-2019": (329_670_304, 480),
    "volume-400": (13_550_080, 400),
}
"""Parameters and layers. The published parameters are those of the released checkpoints."""


@cache
def build(name: str) -> IRIM:
    with torch.device("meta"):
        return IRIM.from_preset(name)


def layers(model: IRIM) -> int:
    """As the paper counts: the convolutions of a block, and its orthogonal mixing on the way in and out."""
    blocks = [step for step in model.chain.steps if isinstance(step, ReversibleBlock)]
    convolutions = [sum(isinstance(part, nn.modules.conv._ConvNd) for part in block.modules()) for block in blocks]
    mixings = [2 * sum(isinstance(part, OrthogonalMixing) for part in block.modules()) for block in blocks]
    return sum(convolutions) + sum(mixings)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_and_layers(name):
    model = build(name)
    assert (sum(p.numel() for p in model.parameters()), layers(model)) == SIZES[name]


def test_what_the_published_ones_see():
    single, multi = build("fastmri-singlecoil-2019"), build("fastmri-multicoil-2019")
    for model, images, channels in ((single, 1, 64), (multi, 15, 96)):
        assert (model.images, model.channels, model.metadata, model.coil_maps) == (images, channels, 8, False)
        assert (model.normalisation_crop, model.normalisation_slack) == (320, 1e-6)
        assert model.head.up.weight.shape[1] == 2


def test_a_volume_is_never_strided_along_slices():
    blocks = [step for step in build("volume-400").chain.steps if isinstance(step, ReversibleBlock)]
    assert {block.stride[0] for block in blocks} == {1}
    assert [block.stride[1:] for block in blocks[:10]] == [(d, d) for d in (1, 1, 2, 2, 4, 4, 2, 2, 1, 1)]


def test_how_it_is_trained_may_be_chosen():
    with torch.device("meta"):
        model = IRIM.from_preset("volume-400", tile=[4, 8, 8], memory_budget="4GB")
        assert IRIM.from_preset("volume-400", backprop="exact").chain.backprop == "exact"
    assert model.options["tile"] == [4, 8, 8]
    assert model.options["memory_budget"] == "4GB"


def test_an_unknown_name_and_a_copy():
    with pytest.raises(OptionError, match=r"expected a preset of fastmri-singlecoil-2019, .*, got 'fastmri'"):
        IRIM.from_preset("fastmri")
    preset("volume-400")["steps"] = 1
    assert PRESETS["volume-400"]["steps"] == 8


def test_the_readme_has_these_sizes():
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| .* \| ([\d,]+) \|$", readme, re.MULTILINE))
    assert rows == {name: f"{parameters:,}" for name, (parameters, _) in SIZES.items()}
