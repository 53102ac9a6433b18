"""Checkpoints of the code released in 2019: what is converted, and what is refused, in one line and without running."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from invrim import IRIM, RIM, load_model
from invrim.cli.main import main
from invrim.errors import FileError, WeightsError
from invrim.models import read_released
from invrim.models.released import irim_name, rim_name
from released import write_checkpoint

BLOCKS = {"hidden": [3, 5], "strides": [2, 1]}
OURS = {
    "bias": "bias",
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
LAYERS = {"l1": "down", "l2": "middle", "l3": "up"}


def their_names(steps: int) -> Iterator[str]:
    """Of an i-RIM's tensors, but for those of its head."""
    for step in range(steps):
        for block in range(2):
            yield f"model.model.rnn.{step}.embeddings.{block}.weights"
            for layer in LAYERS:
                for kind in OURS if layer != "l3" else list(OURS)[1:]:
                    yield f"model.model.rnn.{step}.layers.{block}.update_right.{layer}.{kind}"


def theirs(model: IRIM) -> dict[str, torch.Tensor]:
    """The tensors of one of our models under their names."""
    tensors = model.state_dict()
    released = {}
    for name in their_names(model.options["steps"]):
        tensor = tensors[irim_name(name, 2)]
        released[name] = tensor.unsqueeze(-1) if name.endswith("weights") else tensor
        if name.endswith("weights"):
            released[name.replace("weights", "I")] = torch.eye(model.channels)
    if model.head is not None:
        for layer, ours in LAYERS.items():
            for kind in OURS if layer != "l3" else list(OURS)[1:]:
                released[f"output_function.{layer}.{kind}"] = tensors[f"head.{ours}.{OURS[kind]}"]
    return released


def machine(**options) -> IRIM:
    torch.manual_seed(1)
    return IRIM(**{"steps": 2, "channels": 20, **BLOCKS, "metadata": 8, "coil_maps": False, "normalisation_slack": 1e-6,
                   **options})  # fmt: skip


CASES = {
    "single coil": (machine(multiplicity=2), {"multiplicity": 2}),
    "volume": (machine(ndim=3), {}),
    "shared weights": (machine(share_weights=True), {"shared_weights": True}),
    "several coils": (machine(images=15, channels=68, head="combined"), {"challenge": "multicoil"}),
    "several coils, eta": (machine(images=15, channels=68, head="halves"), {"challenge": "multicoil"}),
    "one coil, eta": (machine(head="halves"), {}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("prefix", "zipped"), [("module.", False), ("", True)])
def test_every_layout_becomes_the_model_that_it_was(tmp_path, case, prefix, zipped, capsys):
    model, settings = CASES[case]
    path = write_checkpoint(tmp_path / "best_model.pt", theirs(model), prefix=prefix, zipped=zipped, **settings)
    out = tmp_path / "w.safetensors"
    assert main(["convert-weights", str(path), str(out)]) == 0
    size = sum(p.numel() for p in model.parameters())
    assert capsys.readouterr().out == f"best_model.pt -> {out}: IRIM of {size:,} parameters\n"
    loaded = load_model(out)
    assert loaded.options == model.options
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_the_rim_keeps_its_steps_and_forgets_its_memory(tmp_path):
    model = RIM(steps=3, hidden=4)
    layers = {"look": "rnn.layers.0.input_fun.conv_layer", "first.reading": "rnn.layers.0.rnn_cell.ih",
              "first.keeping": "rnn.layers.0.rnn_cell.hh", "widen": "rnn.layers.1.input_fun.conv_layer",
              "second.reading": "rnn.layers.1.rnn_cell.ih", "second.keeping": "rnn.layers.1.rnn_cell.hh",
              "correct": "rnn.layers.2.input_fun.conv_layer"}  # fmt: skip
    tensors = {}
    for name, tensor in model.state_dict().items():
        layer, kind = name.rsplit(".", 1)
        tensors[f"model.{layers[layer]}.{kind}"] = tensor
        assert rim_name(f"model.{layers[layer]}.{kind}") == name
    found = read_released(write_checkpoint(tmp_path / "m.pt", tensors, n_steps=3))
    assert found.options == {**model.options, "recurrent": False, "coil_maps": False, "normalisation_slack": 1e-6}
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(WeightsError, match="a RIM of several coils"):
        read_released(write_checkpoint(tmp_path / "m.pt", tensors, n_steps=3, challenge="multicoil"))


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path, by: object = os.system) -> None:
        self.mark, self.by = mark, by

    def __reduce__(self):
        return self.by, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("by", [os.system, eval], ids=["os.system", "eval"])
def test_a_checkpoint_that_would_run_code_is_refused_in_one_line(tmp_path, capsys, zipped, by):
    mark, out = tmp_path / "it-ran", tmp_path / "w.safetensors"
    path = write_checkpoint(tmp_path / "m.pt", theirs(machine()), zipped=zipped, resume=Hostile(mark, by))
    assert main(["convert-weights", str(path), str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    name = "posix" if by is os.system else "eval"
    assert f"expected tensors and settings in {path}, got a call of `{name}" in error
    assert "Nothing was run" in error
    assert not mark.exists()
    assert not out.exists()


def test_the_check_can_see_code_run(tmp_path):
    mark = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Hostile(mark)))
    assert mark.exists()


def test_classes_that_may_stand_in_a_checkpoint_are_not_made(tmp_path):
    """Of paths and scores nothing is kept, whatever they say."""
    path = write_checkpoint(tmp_path / "m.pt", theirs(machine()), data_path=Path("/etc/passwd"))
    read_released(path)
    with pytest.raises(WeightsError, match=r"the setting multiplicity is .*, no number from 1. Others cannot"):
        read_released(write_checkpoint(path, theirs(machine()), multiplicity=Path("2")))


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({}, {"multiplicity": 0}, "the setting multiplicity is 0, no number from 1"),
        ({}, {"multiplicity": 4}, "expected at least 24 channels"),
        ({}, {"challenge": "brain"}, "the setting challenge is 'brain', none of singlecoil, multicoil"),
        ({}, {"shared_weights": None}, "the setting shared_weights is None"),
        ({"model.model.rnn.0.layers.0.update_left.l1.bias": torch.zeros(3)}, {}, "unknown name, `model.model.rnn.0"),
        ({"model.model.rnn.0.layers.1.update_right.l1.weight_v": None}, {}, "no tensors of block 1 in step 0"),
        ({"model.model.rnn.1.layers.1.update_right.l2.bias": torch.zeros(4)}, {}, "size mismatch"),
        ({"model.model.rnn.1.layers.1.update_right.l2.bias": "words"}, {}, "no tensor at `module.model.model.rnn.1"),
    ],
)
def test_other_checkpoints_are_refused_in_one_line(tmp_path, change, settings, message):
    tensors = {**theirs(machine()), **change}
    path = write_checkpoint(tmp_path / "m.pt", {name: t for name, t in tensors.items() if t is not None}, **settings)
    with pytest.raises(WeightsError, match=message) as caught:
        read_released(path)
    assert "\n" not in str(caught.value)
    assert "expected a checkpoint of the code released in 2019" in str(caught.value)


def test_files_that_are_no_checkpoints(tmp_path):
    path = tmp_path / "m.pt"
    with pytest.raises(FileError, match="got no file"):
        read_released(path)
    path.write_bytes(b"nothing")
    with pytest.raises(FileError, match="expected a "):
        read_released(path)
    whole = write_checkpoint(path, theirs(machine()), zipped=True).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="expected a complete PyTorch checkpoint") as caught:
        read_released(path)
    assert "\n" not in str(caught.value)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(WeightsError, match=r"expected `args` and `model` in .*, got state_dict"):
        read_released(path)
    torch.save([torch.zeros(2)], path)
    with pytest.raises(WeightsError, match=r"expected a dictionary in .*, got list"):
        read_released(path)
