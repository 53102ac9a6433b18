"""The recurrent inference machine: its memory, its size, its estimates on the way."""

import torch

from invrim import RIM
from models.measurements import SIZE, measurement


def machine(**options) -> RIM:
    torch.manual_seed(4)
    return RIM(**{"steps": 3, "hidden": 5, **options})


def test_the_published_size():
    assert sum(p.numel() for p in RIM().parameters()) == 94_464


@torch.no_grad()
def test_the_estimates_after_every_step_end_with_the_result():
    model, fidelity = machine(), measurement(3)
    every = model(fidelity, every_step=True)
    assert every.shape == (3, 2, *SIZE)
    assert torch.equal(every[-1], model(fidelity))
    shorter = machine(steps=2)
    shorter.load_state_dict(model.state_dict())
    torch.testing.assert_close(every[1], shorter(fidelity))


@torch.no_grad()
def test_memory_is_passed_on_as_published_or_not_as_released():
    published, released, fidelity = machine(), machine(recurrent=False), measurement()
    a, b = published(fidelity, every_step=True), released(fidelity, every_step=True)
    assert torch.equal(a[0], b[0])
    assert (a[1] - b[1]).norm() > 1e-3 * a[1].norm()


@torch.no_grad()
def test_a_start_is_improved_in_the_units_of_the_data():
    model = machine()
    fidelity, tiny = measurement(), measurement(scale=1e-6)
    assert torch.equal(model(fidelity, fidelity.start()), model(fidelity))
    zeros = torch.zeros(2, *SIZE, dtype=torch.cfloat)
    torch.testing.assert_close(model(tiny, zeros) * 1e6, model(fidelity, zeros), rtol=1e-3, atol=1e-3)


def test_a_gate_takes_or_keeps():
    unit = machine().first
    x, h = torch.randn(2, 5, 4, 3), torch.randn(2, 5, 4, 3)
    with torch.no_grad():
        unit.reading.bias[:5] = -100
        assert torch.equal(unit(x, h), h)
        unit.reading.bias[:5] = 100
        new = unit(x, h)
    assert (new.abs() <= 1).all()
    assert not torch.equal(new, h)
