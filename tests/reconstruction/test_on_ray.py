"""On a cluster of this machine alone: the same files, the same outcomes."""

import json

import pytest

from invrim.cli.main import main
from invrim.data.formats.fastmri import read_reconstruction
from invrim.models import load_model, save_model
from invrim.reconstruction import Job, reconstruct_file
from reconstruction.test_archive import model_of, raw_files

pytest.importorskip("ray.data", reason="the extra ray has an environment of its own: make test-ray")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray's use of itself
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]


def test_a_cluster_does_the_same(tmp_path, capsys, monkeypatch):
    files = raw_files(tmp_path / "raw", 11)
    files[5].write_text("not HDF5")
    weights = save_model(model_of(), tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    command = ["reconstruct", "raw", "--out", "out", "--weights", "w.safetensors", "--skip-existing", "--device", "cpu"]
    assert main([*command, "--ray", "local"]) == 2
    captured = capsys.readouterr()
    assert "10 reconstructed, 0 already there, 1 failed of 11 files" in captured.out
    assert "raw/05.h5: expected an HDF5 file, got other content" in captured.out
    assert "1 of 11 files have no result: 05.h5" in captured.err
    assert json.loads((tmp_path / "out" / "status" / "05.json").read_text())["status"] == "failed"
    alone = reconstruct_file(load_model(weights), files[3], Job(out=tmp_path / "alone"))
    assert read_reconstruction(tmp_path / "out" / "03.h5").equal(read_reconstruction(alone))
    assert main(command) == 2, "without the cluster it goes on from there"
    assert "0 reconstructed, 10 already there, 1 failed of 11 files" in capsys.readouterr().out


def test_a_cluster_that_is_not_there(tmp_path, capsys):
    raw_files(tmp_path / "raw", 1)
    weights = save_model(model_of(), tmp_path / "w.safetensors")
    command = ["reconstruct", str(tmp_path / "raw"), "--out", str(tmp_path / "out"), "--weights", str(weights)]
    assert main([*command, "--ray", "auto"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("invrim: expected a Ray cluster at 'auto', got none")
    assert error.count("\n") == 1
