"""No file that holds a pickle runs it, whatever it is called and whoever reads it."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from scipy.io import savemat

from invrim import IRIM
from invrim.cli.main import main
from invrim.data.formats.opening import open_scan
from invrim.errors import FileError, InvrimError
from invrim.models import load_model, save_model
from scans import scan_file


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def torch_zip(path, hostile):
    torch.save({"model": hostile, "args": hostile}, path)


def torch_old(path, hostile):
    torch.save({"model": hostile, "args": hostile}, path, _use_new_zipfile_serialization=False)


def bare(path, hostile):
    path.write_bytes(pickle.dumps(hostile))


def objects(path, hostile):
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.array([hostile], dtype=object), allow_pickle=True)


def objects_in_archive(path, hostile):
    inside = io.BytesIO()
    np.lib.format.write_array(inside, np.array([hostile], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kspace.npy", inside.getvalue())


WAYS = [torch_zip, torch_old, bare, objects, objects_in_archive]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pkl"])
def test_as_weights(tmp_path, capsys, way, suffix):
    mark, path = tmp_path / "ran", tmp_path / f"w{suffix}"
    way(path, Hostile(mark))
    with pytest.raises(FileError, match="expected a safetensors file"):
        load_model(path)
    raw = scan_file(tmp_path, acceleration=2)
    for command in (
        ["reconstruct", raw, "--out", tmp_path / "out", "--weights", path],
        ["convert-weights", path, tmp_path / "new.safetensors"],
    ):
        assert main([str(word) for word in command]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not mark.exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5", ".mrd", ".dat", ".cfl"])
def test_as_data(tmp_path, way, suffix):
    mark, path = tmp_path / "ran", tmp_path / f"a{suffix}"
    way(path, Hostile(mark))
    (tmp_path / "a.hdr").write_text("# Dimensions\n2 2 1 1\n")
    with pytest.raises(InvrimError) as caught:
        open_scan(path, "ky kx" if suffix in {".npy", ".npz", ".mat"} else None)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_matlab_objects_are_left_where_they_are(tmp_path):
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = "system('touch ran')", np.ones(3)
    savemat(tmp_path / "a.mat", {"kspace": cells, "run": {"command": "touch ran"}})
    with pytest.raises(InvrimError, match="expected"):
        open_scan(tmp_path / "a.mat", "ky kx")


def test_the_files_would_run_if_they_were_let(tmp_path):
    bare(tmp_path / "a.pkl", Hostile(tmp_path / "ran"))
    pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert (tmp_path / "ran").exists()


def test_weights_of_ours_hold_no_pickle(tmp_path):
    model = IRIM(steps=1, hidden=[4], strides=[1], channels=4, head="eta")
    content = save_model(model, tmp_path / "w.safetensors").read_bytes()
    assert not zipfile.is_zipfile(tmp_path / "w.safetensors")
    with pytest.raises((pickle.UnpicklingError, KeyError, ValueError, EOFError, IndexError, OverflowError)):
        pickle.loads(content)
