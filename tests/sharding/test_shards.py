"""Some processes with a part of a volume each compute what one computes from the whole."""

import pytest
import torch
import torch.multiprocessing

import invrim
from invrim import IRIM, InvertibleChain, ReversibleBlock
from invrim.errors import OptionError, ShapeError
from invrim.models import RIM
from invrim.operators import shard_fidelity
from invrim.sharding import Shard
from sharded_processes import CASES, SMALL, chain_and_its_input, whole, work

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")

ROUND_OFF = {torch.double: 1e-12, torch.float: 1e-6}
"""Relative to the norm."""


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    torch.multiprocessing.spawn(work, (3, folder), nprocs=3)
    return folder


@pytest.fixture(scope="module", params=[2, 3], ids="{} processes".format)
def together(request, worked):
    """Three processes; two of them by themselves, whose ranks in their group are not those in the world."""
    return [torch.load(worked / f"{rank} of {request.param}.pt") for rank in range(request.param)]


@pytest.fixture(scope="module")
def alone():
    return {name: whole(case) for name, case in CASES.items()} | {"chain": chain_and_its_input("alone")}


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'one'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def error(got, expected) -> float:
    """Of the image, and of all gradients together; the largest of them."""
    assert got.keys() == expected.keys()
    results = [name for name in expected if name in {"image", "state", "slope", "back"}]
    groups = [*([name] for name in results), [name for name in expected if name not in results]]
    return max(
        float(_norm(got[name] - expected[name] for name in group) / _norm(expected[name] for name in group))
        for group in groups
        if group
    )


def _norm(tensors) -> torch.Tensor:
    return torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors]).norm()


@pytest.mark.parametrize("name", [*CASES, "chain"])
def test_parts_are_the_whole(together, alone, name):
    limit = ROUND_OFF[CASES[name].dtype if name in CASES else torch.double]
    for rank in together:
        assert error(rank[name], alone[name]) < limit


def test_parts_that_do_not_exchange_are_not_the_whole(together, alone):
    for rank in together:
        assert error(rank["without exchange"], {"image": alone["invert"]["image"]}) > 1e-3


def test_the_walk_back_exchanges_once_more_for_each_net(together):
    nets = SMALL["steps"] * len(SMALL["hidden"])
    for rank in together:
        assert rank["messages"]["store"] == (nets, nets)
        assert rank["messages"]["invert"] == rank["messages"]["exact"] == (nets, 2 * nets)


def test_every_process_comes_back_by_inversion(together):
    for rank in together:
        assert rank["messages"]["drift, exact"] == rank["messages"]["drift, exact, bf16"] == 0
        assert 0 < rank["messages"]["drift, invert"] < 1e-12


def test_parts_that_do_not_fit_are_refused_in_every_process(together):
    for rank in together:
        said = rank["complaints"]
        assert said.keys() == {"odd", "widths", "nothing", "few"}
        assert "expected parts of multiples of 2 rows" in said["odd"]
        assert "equal but along axis -2" in said["widths"]
        assert said["widths"] == together[0]["complaints"]["widths"]
        assert f"expected at least {len(together)} times 2 rows along axis -2" in said["few"]


@pytest.mark.parametrize(
    ("rows", "unit", "count", "sizes"),
    [(7, 1, 3, (2, 2, 3)), (9, 2, 3, (2, 4, 3)), (9, 2, 2, (4, 5)), (8, 8, 1, (8,)), (17, 8, 3, (8, 8, 1))],
)
def test_parts_are_multiples_of_the_stride_but_for_the_last(one_process, monkeypatch, rows, unit, count, sizes):
    monkeypatch.setattr(Shard, "count", count)
    assert Shard(dim=-1, unit=unit).sizes(rows) == sizes


def test_one_process_has_the_whole(one_process):
    model = IRIM(**SMALL)
    shard = invrim.shard(model)
    image = torch.randn(2, 9, 11)
    assert (shard.dim, shard.unit, shard.count) == (-2, 2, 1)
    assert torch.equal(shard.gather(shard.cut(image)), image)


def test_a_mask_that_varies_along_the_cut_is_refused(one_process):
    kspace = torch.randn(2, 3, 9, 11, dtype=torch.cfloat)
    with pytest.raises(ShapeError, match=r"the same along axis -1, of size 1 there, got \(2, 1, 1, 11\)"):
        shard_fidelity(kspace, torch.ones(2, 1, 1, 11), shard=Shard(dim=-1))
    with pytest.raises(ShapeError, match="coil maps of one size along axis -2"):
        shard_fidelity(kspace, torch.ones(2, 1, 1, 11), kspace[:, :, 1:], shard=Shard(dim=-2))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: IRIM(**SMALL, map_channels=2, map_pools=1), {}, r"got Conv2d 'maps\..*map_channels=0"),
        (lambda: IRIM(**SMALL, memory_budget="1GB"), {}, "without memory_budget"),
        (RIM, {}, "got RIM"),
        (lambda: InvertibleChain([ReversibleBlock(4, 4), ReversibleBlock(4, 4, ndim=3)]), {}, r"got \[2, 3\]"),
        (lambda: IRIM(**SMALL), {"dim": -3}, "from -2 to -1, got -3"),
        (lambda: IRIM(**SMALL), {"dim": 0}, "from -2 to -1, got 0"),
    ],
)
def test_what_would_be_wrong_in_parts_is_refused(one_process, model, options, message):
    with pytest.raises(OptionError, match=message):
        invrim.shard(model(), **options)


def test_without_a_process_group_it_says_how_to_get_one():
    with pytest.raises(OptionError, match="init_process_group"):
        invrim.shard(IRIM(**SMALL))
