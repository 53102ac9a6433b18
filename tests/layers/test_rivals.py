"""What the layers that a reversible block is compared with compute, start as, and refuse."""

import pytest
import torch

from invrim import InvertibleChain
from invrim.errors import InvrimError, OptionError, ShapeError
from invrim.layers import ActNorm, AdditiveCoupling, AffineCoupling, FreeMixing, GlowStep
from rivals import RIVALS, disturbed

Z = torch.randn(2, 5, 7, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("update", "kept", "changed"), [("second", slice(0, 2), slice(2, 5)), ("first", slice(2, 5), slice(0, 2))]
)
def test_update_names_the_half_that_changes(update, kept, changed):
    torch.manual_seed(0)
    for step in (AdditiveCoupling(5, 4, update=update), AffineCoupling(5, 4, update=update)):
        out = step(Z)
        assert torch.equal(out[:, kept], Z[:, kept])
        assert (out[:, changed] != Z[:, changed]).flatten(2).any(dim=2).all()


def test_additive_coupling_adds_the_net():
    step = AdditiveCoupling(5, 4, 2)
    torch.testing.assert_close(step(Z)[:, 2:], Z[:, 2:] + step.net(Z[:, :2]))


@pytest.mark.parametrize(
    ("scale", "of"),
    [
        ("exp", lambda raw, _: raw.exp()),
        ("sigmoid", lambda raw, _: torch.sigmoid(raw + 2)),
        ("tanh", lambda raw, bound: torch.exp(bound[:, None, None] * torch.tanh(raw))),
    ],
)
def test_affine_coupling_scales_and_shifts_as_published(scale, of):
    torch.manual_seed(0)
    step = disturbed(AffineCoupling(5, 4, scale=scale))
    raw, shift = step.net(Z[:, :2]).chunk(2, dim=1)
    torch.testing.assert_close(step(Z)[:, 2:], Z[:, 2:] * of(raw, step.bound) + shift)
    assert (step.bound is not None) == (scale == "tanh")


@pytest.mark.parametrize("rival", ["additive", "real-nvp", "affine-exp"])
def test_a_silent_net_starts_at_the_identity(rival):
    step = RIVALS[rival](0, 5, 2)
    with torch.no_grad():
        step.net.scale_output(0.0)
    assert torch.equal(step(Z), Z)
    assert not step.log_determinant(Z).any()


def test_a_silent_glow_step_starts_as_a_rotation():
    torch.manual_seed(0)
    step = GlowStep(5, 4, scale="exp")
    with torch.no_grad():
        step.net.scale_output(0.0)
    torch.testing.assert_close(step(Z), step.mixing(Z))
    torch.testing.assert_close(torch.linalg.vector_norm(step(Z), dim=1), torch.linalg.vector_norm(Z, dim=1))


@pytest.mark.parametrize("channels", [2, 5, 8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_free_mixing_starts_as_a_rotation(channels, seed):
    torch.manual_seed(seed)
    weight = FreeMixing(channels).weight.detach().double()
    torch.testing.assert_close(weight @ weight.mT, torch.eye(channels).double(), rtol=0, atol=4e-7)
    assert float(torch.linalg.det(weight)) == pytest.approx(1, abs=1e-6)


def test_a_forward_pass_changes_nothing_and_initialise_normalises():
    torch.manual_seed(0)
    step = GlowStep(5, 4)
    z = Z * torch.tensor([1.0, 30.0, 0.01, 0.0, 2.0]).reshape(-1, 1, 1) + 3
    before = {name: tensor.clone() for name, tensor in step.state_dict().items()}
    step(z)
    assert all(torch.equal(tensor, before[name]) for name, tensor in step.state_dict().items())
    step.initialise(z)
    out = step.norm(z)
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(5), rtol=0, atol=1e-4)
    # The fourth channel is constant, as memory is before anything was written there: moved, not magnified.
    torch.testing.assert_close(
        out.std(dim=(0, 2, 3), correction=0), torch.tensor([1.0, 1, 1, 0, 1]), rtol=1e-4, atol=1e-6
    )
    assert step.norm.log_scale.detach()[3] == 0


@pytest.mark.parametrize("rival", RIVALS)
def test_one_evaluation_of_the_net_undoes_and_differentiates(rival):
    chain = InvertibleChain([RIVALS[rival](i, 5, 2) for i in range(2)])
    calls = []
    for step in chain.steps:
        step.net.register_forward_hook(lambda *_: calls.append(1))
    loss = chain(Z).square().sum()
    assert len(calls) == 2
    loss.backward()
    assert len(calls) == 4


@pytest.mark.parametrize("rival", RIVALS)
def test_parameters_survive_a_round_trip(rival, tmp_path):
    torch.manual_seed(0)
    here, there = (disturbed(RIVALS[rival](1, 5, 2)) for _ in range(2))
    assert not torch.equal(here(Z), there(Z))
    torch.save(here.state_dict(), tmp_path / "layer.pt")
    there.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    assert torch.equal(here(Z), there(Z))
    assert torch.equal(here.log_determinant(Z), there.log_determinant(Z))


@pytest.mark.parametrize("rival", RIVALS)
def test_the_state_stays_float32_under_autocast(rival):
    torch.manual_seed(0)
    step = RIVALS[rival](0, 5, 2)
    seen = []
    step.net.down.register_forward_hook(lambda *arguments: seen.append(arguments[-1].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        out = step(Z)
        back = step.inverse(out)
    assert set(seen) == {torch.bfloat16}
    assert out.dtype == back.dtype == torch.float32
    torch.testing.assert_close(back, Z, rtol=1e-5, atol=1e-5)


def test_errors_say_what_to_do():
    with pytest.raises(OptionError, match="at least 2 channels"):
        AdditiveCoupling(1, 4)
    with pytest.raises(OptionError, match="update 'first' or 'second', got 5 and 'both'"):
        AdditiveCoupling(5, 4, update="both")
    with pytest.raises(OptionError, match="'exp', 'sigmoid' or 'tanh', got 'softplus'"):
        AffineCoupling(5, 4, scale="softplus")
    with pytest.raises(ShapeError, match=r"expected a state \(b, 4, 2 spatial axes\), got \(2, 5, 7, 6\)"):
        AdditiveCoupling(4, 4)(Z)
    with pytest.raises(ShapeError, match=r"\(b, 5, 3 spatial axes\)"):
        AffineCoupling(5, 4, ndim=3)(Z)
    for part in (ActNorm(1), FreeMixing(1)):
        for ask in (part, part.inverse):
            with pytest.raises(ShapeError, match=r"\(b, 1, any number of spatial axes\)"):
                ask(Z)


def test_a_singular_mixing_says_so():
    mixing = FreeMixing(5)
    with torch.no_grad():
        mixing.weight.zero_()
        with pytest.raises(InvrimError, match="expected an invertible mixing matrix, got a singular one"):
            mixing.inverse(Z)
