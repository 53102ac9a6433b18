"""Two processes with half a batch each learn what one learns from the whole."""

import pytest
import torch
import torch.multiprocessing

from plain_autograd import MODES, assert_close
from two_processes import CASES, batch, chain_of, train


@pytest.fixture(scope="module", params=MODES)
def trained_apart(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(train, (folder, request.param), nprocs=2)
    return request.param, [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_gradients_equal_those_of_the_whole_batch(trained_apart, case):
    mode, ranks = trained_apart
    chain = chain_of(case[0], "store")
    chain(batch(2)).sin().sum().backward()
    mean_over_ranks = [p.grad / 2 for p in chain.parameters()]
    for gradients, _ in ranks:
        assert_close(gradients[case], mean_over_ranks, MODES[mode])


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_every_process_watches_its_own_drift(trained_apart, case):
    mode, ranks = trained_apart
    for _, drifts in ranks:
        assert 0 < drifts[case] < MODES[mode] if mode == "invert" else drifts[case] == 0
