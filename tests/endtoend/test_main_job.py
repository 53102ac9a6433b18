"""The main job through the command line: a real brain, simulated, reconstructed by the shipped weights, evaluated."""

import json

import pytest

from invrim.cli.main import main
from invrim.models import shipped_weights
from shared_data import shared


def run(*argv: object) -> None:
    assert main([str(a) for a in argv]) == 0


@pytest.fixture
def brain():
    return shared("mr_images/ds000240_sub-01_T1w.nii.gz")


@pytest.fixture
def weights():
    if "brain" not in shipped_weights():
        pytest.skip("src/invrim/weights/brain.safetensors is missing")
    return "brain"


@pytest.mark.parametrize("coils", [1, 4])
def test_shipped_weights_beat_zero_filling_on_a_subject_they_never_saw(tmp_path, brain, weights, coils):
    run("simulate", brain, "--out", tmp_path / "raw", "--acceleration", 4, "--every", 40, "--coils", coils)
    run(
        "reconstruct", *(tmp_path / "raw").glob("*.h5"), "--out", tmp_path / "out", "--weights", weights,
        "--also", "zero-filled", "png",
    )  # fmt: skip
    scores = {}
    for name, folder in {"learned": tmp_path / "out", "zero-filled": tmp_path / "out" / "zero-filled"}.items():
        file = tmp_path / f"{name}.json"
        run("evaluate", "--targets", tmp_path / "raw", "--predictions", folder, "--json", file)
        content = json.loads(file.read_text())
        assert content["protocol"] == "fastmri"
        scores[name] = content["mean"]
    # The README has the measured gain; this is the floor below which something is broken.
    assert scores["learned"]["psnr"] > scores["zero-filled"]["psnr"] + 2
    assert scores["learned"]["ssim"] > scores["zero-filled"]["ssim"] + 0.05


def test_several_files_one_of_them_bad(tmp_path, brain, weights, capsys):
    run("simulate", brain, "--out", tmp_path / "raw", "--every", 80)
    (good,) = (tmp_path / "raw").glob("*.h5")
    bad = tmp_path / "raw" / "bad.h5"
    bad.write_text("nothing")
    assert main(["reconstruct", str(bad), str(good), "--out", str(tmp_path / "out"), "--weights", weights]) == 2
    captured = capsys.readouterr()
    assert "1 of 2 files have no result: bad.h5" in captured.err
    assert sorted(path for path in (tmp_path / "out").iterdir() if path.is_file()) == [
        tmp_path / "out" / f"{good.stem}{suffix}" for suffix in (".h5", ".json")
    ]
