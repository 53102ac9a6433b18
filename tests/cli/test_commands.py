"""The command line as a newcomer meets it."""

import subprocess
import sys
import time

import h5py
import pytest
import torch

from data.ismrmrd_files import PointScan
from invrim import IRIM
from invrim.cli.main import COMMANDS, main
from invrim.cli.train import read_recipe
from invrim.models import load_model, save_model
from invrim.training import PresetOptions, UNetOptions
from scans import scan_file

RECIPE = """
data: {train: IN, validation: IN}
model: {steps: 2, hidden: [4], strides: [2], channels: 8, head: eta}
optimisation: {updates: 2, loss: ssim+l1}
out: OUT
"""


@pytest.fixture
def recipe(tmp_path):
    def write(text: str = RECIPE) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(text.replace("IN", str(tmp_path / "in")).replace("OUT", str(tmp_path / "out")))
        return str(path)

    return write


def failure(capsys, *argv: object) -> str:
    """Run a command that must fail, and return its one line."""
    assert main([str(a) for a in argv]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("invrim: ")
    assert captured.err.count("\n") == 1, "an error is one line"
    assert "Traceback" not in captured.err
    return captured.err


def small_weights(folder) -> str:
    torch.manual_seed(0)
    model = IRIM(steps=1, hidden=[4], strides=[1], channels=4, head="eta")
    return str(save_model(model, folder / "w.safetensors"))


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)


def test_help_is_instant():
    """Half a second is the bar; start-up of Python itself is most of what it takes."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "invrim.cli.main", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


HEAVY = ("torch", "lightning", "matplotlib", "h5py", "nibabel")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loads_nothing_heavy(name):
    code = f"""
import sys
from invrim.cli.main import main
try:
    main([{name!r}, "--help"])
finally:
    print("loaded:", [name for name in {HEAVY} if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.endswith("loaded: []\n")


def test_no_bars_where_there_is_no_terminal(tmp_path, capfd):
    weights = small_weights(tmp_path)
    raw = [str(scan_file(tmp_path / "raw", name, acceleration=2)) for name in ("a.h5", "b.h5")]
    out = str(tmp_path / "out")
    assert main(["reconstruct", *raw, "--out", out, "--weights", weights]) == 0
    assert capfd.readouterr().out.splitlines()[:-1] == [f"{name} -> {out}/{name}" for name in ("a.h5", "b.h5")]
    assert main(["evaluate", "--targets", str(tmp_path / "raw"), "--predictions", out]) == 0
    assert capfd.readouterr().out.startswith("protocol: fastmri")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"usage: invrim {name}" in capsys.readouterr().out


def test_the_demo_says_how_to_add_a_scan(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--raw FILE" in text
    assert "add scans of your own" in text


def test_unknown_command(capsys):
    assert "expected a command of demo, inspect" in failure(capsys, "reconstrukt")


def test_recipe_from_file_and_flags(recipe):
    found = read_recipe(["--config", recipe(), "--optimisation.updates", "7"])
    assert (found.optimisation.updates, found.model.hidden, found.seed) == (7, (4,), 0)


def test_the_kind_of_model_decides_what_fields_there_are(recipe, capsys):
    options = "{steps: 2, hidden: [4], strides: [2], channels: 8, head: eta}"
    file = recipe(RECIPE.replace(options, "{kind: unet, channels: 4}"))
    found = read_recipe(["--config", file, "--model.pools", "2"])
    assert found.model == UNetOptions(channels=4, pools=2)
    message = failure(capsys, "train", "--config", file, "--model.pool", "2")
    assert "got 'model.pool'. Did you mean 'model.pools'?" in message
    message = failure(capsys, "train", "--config", recipe(), "--model.kind", "net")
    assert "expected model.kind of irim, rim, unet, varnet, got 'net'. Choose one of them." in message
    with pytest.raises(SystemExit):
        main(["train", "--model.kind", "varnet", "--help"])
    assert "--model.cascades" in capsys.readouterr().out


def test_a_preset_leaves_nothing_to_say_twice(recipe, capsys):
    options = "{steps: 2, hidden: [4], strides: [2], channels: 8, head: eta}"
    file = recipe(RECIPE.replace(options, "{preset: volume-400}"))
    found = read_recipe(["--config", file, "--model.tile", "8"])
    assert found.model == PresetOptions(preset="volume-400", tile=8)
    assert read_recipe(["--config", file, "--model.tile", "auto"]).model == PresetOptions(preset="volume-400")
    assert read_recipe(["--config", file, "--model.tile", "null"]).model.tile is None
    assert read_recipe(["--config", file, "--model.preset", "other"]).model.preset == "other"
    message = failure(capsys, "train", "--config", recipe(RECIPE.replace(options, "{preset: volume-400, steps: 3}")))
    assert "got 'model.steps'" in message
    file = recipe(RECIPE.replace(options, "{preset: volume-400}"))
    message = failure(capsys, "train", "--config", file, "--model.preset", "volume-4000")
    assert "expected a preset of fastmri-singlecoil-2019, " in message
    assert "got 'volume-4000'" in message
    assert "irim" in failure(capsys, "train", "--config", file, "--model.kind", "rim")


def test_a_length_in_epochs(recipe, capsys):
    found = read_recipe(["--config", recipe(RECIPE.replace("updates: 2", "epochs: 3") + "validate_every: null\n")])
    assert (found.optimisation.updates, found.optimisation.epochs, found.validate_every) == (None, 3, None)
    message = failure(capsys, "train", "--config", recipe(RECIPE.replace("updates: 2", "updates: 2, epochs: 3")))
    assert "expected updates or epochs, one of the two, got 2 and 3" in message
    assert "expected epochs above 0" in failure(
        capsys, "train", "--config", recipe(RECIPE.replace("updates: 2", "epochs: 0"))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("updates:", "updatess:"), "got 'optimisation.updatess'. Did you mean 'optimisation.updates'?"),
        (("out:", "outt:"), "Did you mean 'out'?"),
        (("updates: 2", "updates: 2, lr: 1"), "got 'optimisation.lr'. Did you mean 'optimisation.learning_rate'?"),
        (("optimisation:", "optimizer: adam\noptimisation:"), "Did you mean 'optimisation.optimiser'?"),
        (("model:", "modell: 1\nmodel:"), "got 'modell'. See `invrim train --help`."),  # a group is no answer
        (("out:", "banana: 1\nout:"), "got 'banana'. See `invrim train --help`."),
        (("updates: 2", "updates: many"), "expected optimisation.updates of a whole number or null, got many. See "),
        (("loss: ssim+l1", "loss: l3"), "expected optimisation.loss of 'ssim', 'l1', "),
        (("out: OUT", "out: OUT\ndrift_warn: x"), "expected drift_warn of a number or 'auto' or null, got x. See "),
        (("model: {", "model: {tile: big, "), "model.tile of a whole number or a list or 'auto' or null, got big. "),
        (("updates: 2", "updates: 0"), "expected updates above 0, got 0"),
        (("out: OUT", "out: OUT\nvalidate_every: 0"), "expected validate_every above 0, got 0"),
        (("validation: IN", "validation: IN, batch_size: 0"), "expected batch_size above 0, got 0"),
        (("validation: IN", "validation: IN, readout_crop: 0"), "expected readout_crop above 0, got 0"),
    ],
)
def test_bad_recipes(recipe, capsys, change, message):
    assert message in failure(capsys, "train", "--config", recipe(RECIPE.replace(*change)))


def test_help_of_train_says_what_the_fields_are(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Updates over which the step size rises to its peak." in text
    assert "Folder for checkpoints, logs and the final weights" in text


def test_missing_recipe_and_unknown_flag(recipe, capsys):
    assert "File does not exist" in failure(capsys, "train", "--config", "no.yaml")
    message = failure(capsys, "train", "--config", recipe(), "--optimisation.update", "3")
    assert "Did you mean 'optimisation.updates'?" in message


def test_empty_training_folder(recipe, capsys):
    assert "expected a folder with .h5 files" in failure(capsys, "train", "--config", recipe())


def test_bad_input_of_reconstruct(tmp_path, capsys):
    raw = scan_file(tmp_path, acceleration=2)
    out = tmp_path / "out"
    assert "expected a weights file" in failure(capsys, "reconstruct", raw, "--out", out, "--weights", "nope")
    maps = failure(capsys, "reconstruct", raw, "--out", out, "--maps", "sake")
    assert maps == "invrim: expected coil maps by calibration, adaptive, espirit, got 'sake'. Choose one of these.\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "available", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_device_of_reconstruct(tmp_path, monkeypatch, name, available, expected):
    asked = []
    raw, weights = str(scan_file(tmp_path, acceleration=2)), small_weights(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(
        "invrim.models.load_model", lambda path, device: asked.append(device) or load_model(path, device="cpu")
    )
    assert main(["reconstruct", raw, "--out", str(tmp_path / "out"), "--weights", weights, "--device", name]) == 0
    assert asked == [expected]


def test_a_gpu_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = failure(capsys, "reconstruct", scan_file(tmp_path), "--out", tmp_path / "out", "--device", "cuda")
    assert "expected a CUDA device for --device cuda, got none" in message


def test_inspect_says_what_is_in_a_file(tmp_path, capsys):
    raw = scan_file(tmp_path, coils=3, acceleration=2)
    picture = tmp_path / "p.png"
    assert main(["inspect", str(raw), "--picture", str(picture)]) == 0
    text = capsys.readouterr().out
    assert "coils        3" in text
    assert "matrix       48 x 40" in text
    assert picture.stat().st_size > 10_000
    assert "expected a raw file, got nothing" in failure(capsys, "inspect", tmp_path / "no.h5")


def test_reconstruct_refuses_to_overwrite_before_it_loads_anything(tmp_path, capsys):
    good, raw = scan_file(tmp_path / "in", "b.h5"), scan_file(tmp_path)
    before = raw.read_bytes()
    message = failure(capsys, "reconstruct", good, raw, "--out", tmp_path, "--weights", "nope")
    assert "would overwrite the input" in message
    assert raw.read_bytes() == before
    twin = tmp_path / "in" / "a.h5"
    message = failure(capsys, "reconstruct", raw, twin, "--out", tmp_path / "out", "--weights", "nope")
    assert f"for both {raw} and {twin}" in message


def test_simulate_refuses_two_volumes_of_one_name(tmp_path, capsys):
    first, second = tmp_path / "1" / "t1.nii.gz", tmp_path / "2" / "t1.nii"
    message = failure(capsys, "simulate", first, second, "--out", tmp_path / "out")
    assert f"t1_axial.h5 for both {first} and {second}" in message
    assert not (tmp_path / "out").exists()


def test_inspect_and_accelerations_out_of_range(tmp_path, capsys):
    raw = scan_file(tmp_path)
    for value in ("0", "nan"):
        message = failure(capsys, "reconstruct", raw, "--out", tmp_path / "out", "--acceleration", value)
        assert f"expected an acceleration >= 1, got {value}" in message
    with h5py.File(raw, "a") as file:
        file["mask"] = [0] * 40
    assert "a.h5: expected at least one measured line" in failure(capsys, "inspect", raw)


def test_evaluate_notices_early_that_its_numbers_have_no_place(tmp_path, capsys):
    place = tmp_path / "nowhere" / "s.json"
    message = failure(capsys, "evaluate", "--targets", "no", "--predictions", "no", "--json", place)
    assert f"expected to write {place}, got no folder {place.parent}" in message


def test_a_folder_instead_of_a_file(tmp_path, capsys):
    assert "got a folder. Give a file that lies in it." in failure(capsys, "inspect", tmp_path)
    empty = failure(capsys, "reconstruct", tmp_path, "--out", tmp_path / "out")
    assert f"{tmp_path}: expected a folder with raw files of .cfl, .dat, .h5" in empty


def test_reconstruct_says_what_the_reader_had_to_decide(tmp_path, capsys):
    raw = PointScan(lines=lambda _: [n for n in range(40) if n != 7]).write(tmp_path / "a.h5")
    assert main(["reconstruct", str(raw), "--out", str(tmp_path / "out")]) == 0
    assert "a.h5: notice: 1 of 40 lines are missing, though the scan was not accelerated" in capsys.readouterr().out
