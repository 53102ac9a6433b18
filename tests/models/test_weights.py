"""Weights on disk."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import invrim.models.weights as module
from invrim import IRIM, RIM, load_model
from invrim.errors import FileError, WeightsError
from invrim.models import UNet, VarNet, read_header, save_model
from invrim.models.weights import copy_weights


def machine() -> IRIM:
    return IRIM(steps=2, hidden=[4], strides=[2], channels=8, head="eta")


def test_round_trip(tmp_path):
    original = machine()
    path = save_model(original, tmp_path / "w.safetensors", recipe={"seed": 7})
    loaded = load_model(path)
    assert loaded.options == original.options
    assert all(
        torch.equal(a, b) for a, b in zip(original.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert read_header(path)["recipe"] == {"seed": 7}
    assert not loaded.training


@pytest.mark.parametrize(
    "original",
    [RIM(steps=2, hidden=3, recurrent=False), UNet(channels=3, pools=2, sees="complex"), VarNet(cascades=1, pools=2)],
    ids=lambda model: type(model).__name__,
)
def test_every_kind_of_model_comes_back(tmp_path, original):
    loaded = load_model(save_model(original, tmp_path / "w.safetensors"))
    assert type(loaded) is type(original)
    assert loaded.options == original.options
    assert all(torch.equal(a, loaded.state_dict()[name]) for name, a in original.state_dict().items())


def test_missing_and_damaged(tmp_path):
    with pytest.raises(FileError, match="expected a weights file or one of"):
        load_model(tmp_path / "no.safetensors")
    path = save_model(machine(), tmp_path / "w.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match="expected a safetensors file"):
        load_model(path)


def test_another_format_version(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"invrim": json.dumps({"invrim_format": 99})})
    with pytest.raises(WeightsError, match="expected weights of format 1, got format 99"):
        load_model(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="got no format"):
        load_model(path)


def test_tensors_that_do_not_fit_the_options(tmp_path):
    header = {"invrim_format": 1, "model": "IRIM", "options": machine().options}
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"invrim": json.dumps(header)})
    with pytest.raises(WeightsError, match=r"expected w\.safetensors to hold"):
        load_model(path)


def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_model(machine(), tmp_path / "w.safetensors", recipe={"seed": 1})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(FileError, match="no space left on device"):
        save_model(machine(), path, recipe={"seed": 2})
    assert read_header(path)["recipe"] == {"seed": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"invrim_format": 1}, "expected a model of IRIM, RIM, UNet, VarNet .*got None"),
        ({"invrim_format": 1, "model": ["IRIM"]}, r"got \['IRIM'\]"),
        ({"invrim_format": 1, "model": "IRIM"}, "expected the options of IRIM .*KeyError: 'options'"),
        ({"invrim_format": 1, "model": "IRIM", "options": [1]}, "expected the options of IRIM .*TypeError"),
        ({"invrim_format": 1, "model": "IRIM", "options": {**machine().options, "colour": 3}}, "'colour'"),
        ({"invrim_format": 1, "model": "IRIM", "options": {**machine().options, "steps": 0}}, "at least one step"),
        ([1, 2], "got no format"),
    ],
)
def test_headers_of_strangers(tmp_path, header, message):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"invrim": json.dumps(header)})
    with pytest.raises(WeightsError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_shared_weights_are_written_once_and_stay_shared(tmp_path):
    torch.manual_seed(0)
    original = IRIM(steps=3, hidden=[4, 3], strides=[2, 1], channels=8, head="eta", share_weights=True)
    path = save_model(original, tmp_path / "w.safetensors")
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == {name for name, _ in original.named_parameters()}
    loaded = load_model(path)
    assert [name for name, _ in loaded.named_parameters()] == [name for name, _ in original.named_parameters()]
    assert all(torch.equal(a, loaded.state_dict()[name]) for name, a in original.state_dict().items())
    tensors = load_file(path)
    missing = tensors.popitem()[0]
    header = {"invrim_format": 1, "model": "IRIM", "options": original.options}
    save_file(tensors, path, metadata={"invrim": json.dumps(header)})
    with pytest.raises(WeightsError, match=f"expected w.safetensors to hold .*, got `{missing}` of shape None"):
        load_model(path)


def test_weights_are_copied_into_a_model_whose_other_options_differ(tmp_path):
    path = save_model(machine(), tmp_path / "w.safetensors")
    other = IRIM(steps=2, hidden=[4], strides=[2], channels=8, head="eta", backprop="store", cg_iterations=3)
    copy_weights(path, other)
    assert all(torch.equal(a, load_model(path).state_dict()[name]) for name, a in other.state_dict().items())
    assert other.training, "left as it was, to be trained"
    assert all(parameter.requires_grad for parameter in other.parameters())


def test_weights_of_another_model_are_refused(tmp_path):
    path = save_model(machine(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"expected weights of RIM, got those of 'IRIM' in .*\. Name another file"):
        copy_weights(path, RIM(steps=2, hidden=3))
    wider = IRIM(steps=2, hidden=[5], strides=[2], channels=8, head="eta")
    with pytest.raises(WeightsError, match=r"expected the tensors of the model in .*size mismatch.*sizes\."):
        copy_weights(path, wider)
