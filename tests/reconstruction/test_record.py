"""The JSON file beside every reconstruction: what made it, and nothing that another reconstruction would share."""

import hashlib
import json
from dataclasses import replace

import h5py
import pytest
import torch

import invrim
from data.fastmri_files import HEADER
from invrim import IRIM
from invrim.cli.main import main
from invrim.data.masks import columns_of_file
from invrim.data.scan import LoadedScan
from invrim.errors import OptionError
from invrim.models import fingerprint, load_model, save_model
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import Job, reconstruct_file, require_separate_results, volume
from scans import scan, scan_file


def small_model(seed=0, **options):
    torch.manual_seed(seed)
    return IRIM(steps=2, hidden=[4, 6], strides=[1, 2], channels=12, head="eta", **options).eval()


def record_of(folder, model, raw, **options):
    job = Job(out=folder / "out", **options)
    return json.loads(reconstruct_file(model, raw, job).with_suffix(".json").read_text(encoding="utf-8"))


def test_a_record_says_what_made_the_images(tmp_path):
    model = small_model(normalisation_slack=1e-3)
    raw = scan_file(tmp_path, coils=3)
    mask = columns_of_file(40, 4, "a.h5")
    found = record_of(tmp_path, model, raw, acceleration=4, weights="mine")
    with h5py.File(tmp_path / "out" / "a.h5") as file:
        stored = file["reconstruction"][()].tobytes()
        maximum = float(file["reconstruction"][()].max())
    assert found == {
        "source": {
            "name": "a.h5",
            "bytes": raw.stat().st_size,
            "modified_ns": raw.stat().st_mtime_ns,
            "sha256": {"a.h5": hashlib.sha256(raw.read_bytes()).hexdigest()},
        },
        "images": {"shape": [3, 48, 40], "max": maximum, "sha256": hashlib.sha256(stored).hexdigest()},
        "also": [],
        "weights": {"name": "mine", "model": "IRIM", "sha256": fingerprint(model), "options": model.options},
        "asked_for": {"acceleration": 4, "maps": "calibration", "prewhiten": True, "axes": None, "slab": None},
        "sampling": {
            "acceleration": 40 / int(mask.sum()),
            "undersampled_by": 4,
            "mask_sha256": hashlib.sha256(bytes(int(measured) for measured in mask)).hexdigest(),
        },
        "coils": 3,
        "coil_maps": "calibration",
        "prewhitened": False,
        "protocol": {
            "acquisition": scan().attributes.get("acquisition"),
            "scanner": None,
            "told_to_the_model": None,
        },
        "normalisation": {"crop": 320, "slack": 1e-3},
        "notices": [],
        "versions": {
            "invrim": invrim.__version__,
            "torch": torch.__version__,
            "python": found["versions"]["python"],
        },
    }


def test_what_a_model_is_told_of_the_scan(tmp_path):
    raw = scan_file(tmp_path, acceleration=2)
    with h5py.File(raw, "a") as file:
        file["ismrmrd_header"] = HEADER.format(encoded=40, maximum=39, center=20)
    told = record_of(tmp_path, small_model(metadata=8), raw)["protocol"]["told_to_the_model"]
    assert len(told) == 8
    assert sum(told) == pytest.approx(1)


def test_notices_of_a_reader_are_kept(tmp_path, monkeypatch):
    acquisition = replace(scan(acceleration=2), notices=("no position: spacing alone", "Größe angenommen"))
    monkeypatch.setattr(volume, "open_scan", lambda *_: LoadedScan(acquisition))
    assert record_of(tmp_path, ZeroFilled(), scan_file(tmp_path))["notices"] == list(acquisition.notices)


def test_a_model_that_has_learned_nothing_has_no_fingerprint(tmp_path):
    found = record_of(tmp_path, ZeroFilled(), scan_file(tmp_path, acceleration=2))
    assert found["weights"] == {"name": None, "model": "ZeroFilled", "sha256": None, "options": {}}
    assert found["normalisation"] == {}


def test_records_tell_masks_apart(tmp_path):
    raw = [scan_file(tmp_path, name) for name in ("a.h5", "b.h5")]
    four, two = (record_of(tmp_path, ZeroFilled(), raw[0], acceleration=n)["sampling"] for n in (4, 2))
    other = record_of(tmp_path, ZeroFilled(), raw[1], acceleration=4)["sampling"]
    assert len({sampling["mask_sha256"] for sampling in (four, two, other)}) == 3


def test_fingerprints_survive_a_file_and_tell_weights_apart(tmp_path):
    model = small_model()
    before = fingerprint(model)
    assert fingerprint(load_model(save_model(model, tmp_path / "w.safetensors"))) == before
    assert fingerprint(small_model(seed=1)) != before
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    assert fingerprint(model) != before


def test_a_fingerprint_sees_names_types_and_shapes():
    def holder(name, tensor):
        module = torch.nn.Module()
        module.register_buffer(name, tensor)
        return module

    kinds = [
        holder("a", torch.zeros(4)), holder("b", torch.zeros(4)), holder("a", torch.zeros(2, 2)),
        holder("a", torch.zeros(4, dtype=torch.int32)), holder("a", torch.zeros(8, dtype=torch.bfloat16)),
        holder("a", torch.tensor(0.0)),
    ]  # fmt: skip
    assert len({fingerprint(kind) for kind in kinds}) == len(kinds)


def test_shared_weights_count_once(tmp_path):
    model = small_model(share_weights=True)
    assert fingerprint(load_model(save_model(model, tmp_path / "w.safetensors"))) == fingerprint(model)


def test_a_record_may_not_overwrite_anything(tmp_path):
    with pytest.raises(OptionError, match=r"a\.json for .*a\.npz, which would overwrite the input .*a\.json"):
        require_separate_results([tmp_path / "a.npz", tmp_path / "a.json"], Job(out=tmp_path))


def test_the_command_names_its_weights_and_skips_what_is_whole(tmp_path, capsys):
    raw = scan_file(tmp_path / "raw", acceleration=2)
    weights = save_model(small_model(), tmp_path / "mine.safetensors")
    command = ["reconstruct", str(raw), "--out", str(tmp_path / "out"), "--weights", str(weights), "--skip-existing"]
    assert main(command) == 0
    record = tmp_path / "out" / "a.json"
    assert json.loads(record.read_text())["weights"]["name"] == "mine.safetensors"
    assert str(tmp_path) not in record.read_text()
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out == "a.h5: already there\n"
    record.unlink()
    assert main(command) == 0
    assert record.is_file()
