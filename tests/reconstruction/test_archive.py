"""Many files: those that can be are reconstructed, each once, and whatever happens nothing complete is damaged."""

import errno
import json
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from invrim import IRIM
from invrim.cli.main import main
from invrim.data.formats.fastmri import read_reconstruction
from invrim.errors import FileError
from invrim.models import save_model
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import Job, reconstruct_archive, reconstruct_file, volume
from invrim.reconstruction.record import hash_of
from scans import scan_file


def model_of(seed=0, **options):
    torch.manual_seed(seed)
    return IRIM(steps=1, hidden=[4], strides=[2], channels=8, head="eta", **options).eval()


def raw_files(folder, count, **options):
    return [scan_file(folder, f"{n:02}.h5", acceleration=2, slices=1 + n % 3, seed=n, **options) for n in range(count)]


def statuses(outcomes):
    return {outcome.path.name: outcome.status for outcome in outcomes}


def command(raw, out, weights, *more):
    return ["reconstruct", str(raw), "--out", str(out), "--weights", str(weights), *map(str, more)]


@pytest.fixture
def weights(tmp_path):
    return save_model(model_of(), tmp_path / "w.safetensors")


def test_three_corrupt_files_among_fifty_cost_only_themselves(tmp_path, weights, capsys):
    files = raw_files(tmp_path / "raw", 50)
    files[7].write_text("not HDF5")
    files[20].write_bytes(files[20].read_bytes()[:-3000])
    with h5py.File(files[33], "r+") as file:
        file["kspace"][-1, 3, 3] = np.nan
    assert main(command(tmp_path / "raw", tmp_path / "out", weights)) == 2
    captured = capsys.readouterr()
    assert len(list((tmp_path / "out").glob("*.h5"))) == 47
    bad = [line for line in captured.out.splitlines() if " -> " not in line]
    assert [line.count("expected") for line in bad[:-1]] == [1, 1, 1]
    assert all(name in line for name, line in zip(("07.h5", "20.h5", "33.h5"), bad, strict=False))
    assert bad[-1].startswith("47 reconstructed, 0 already there, 3 failed of 50 files (")
    assert "3 of 50 files have no result: 07.h5, 20.h5, 33.h5. See above" in captured.err
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out" / "status").glob("*.json")}
    assert len(found) == 50
    assert {name for name, status in found.items() if status["status"] == "failed"} == {"07", "20", "33"}
    assert "expected finite k-space, got NaN or Inf in slice 0" in found["33"]["error"]
    assert found["33"]["traceback"] is None
    assert set(found["08"]["seconds"]) == {"read", "compute", "write"}
    assert found["08"]["result"] == "08.h5"


def test_an_archive_is_what_its_files_are_one_by_one(tmp_path):
    files = raw_files(tmp_path / "raw", 4, coils=3)
    model = model_of()
    together = list(reconstruct_archive(model, files, Job(out=tmp_path / "a", batch=2, also=("zero-filled",))))
    assert [outcome.path for outcome in together] == files
    for path, outcome in zip(files, together, strict=True):
        alone = reconstruct_file(model, path, Job(out=tmp_path / "b", batch=2, also=("zero-filled",)))
        assert torch.equal(read_reconstruction(outcome.result), read_reconstruction(alone))
        beside = (result.parent / "zero-filled" / result.name for result in (outcome.result, alone))
        assert torch.equal(*map(read_reconstruction, beside))
        assert outcome.result.with_suffix(".json").read_text() == alone.with_suffix(".json").read_text()


def test_reading_runs_ahead_in_its_thread_and_results_are_written_in_another(tmp_path, monkeypatch):
    seen = {}

    def note(name, function):
        def noted(*arguments, **options):
            seen.setdefault(name, set()).add(threading.current_thread().name)
            return function(*arguments, **options)

        return noted

    monkeypatch.setattr(volume, "open_scan", note("read", volume.open_scan))
    monkeypatch.setattr(volume, "write_reconstruction", note("write", volume.write_reconstruction))
    monkeypatch.setattr(volume.Making, "add", note("compute", volume.Making.add))
    assert len(list(reconstruct_archive(ZeroFilled(), raw_files(tmp_path / "raw", 3), Job(out=tmp_path)))) == 3
    assert seen == {"read": {"ahead"}, "write": {"write_0"}, "compute": {threading.current_thread().name}}


def touched(result):
    return result.stat().st_mtime_ns


def test_a_second_run_skips_what_is_there_and_redoes_the_rest(tmp_path, weights, capsys):
    files = raw_files(tmp_path / "raw", 5)
    run = command(tmp_path / "raw", tmp_path / "out", weights, "--skip-existing")
    assert main(run) == 0
    out = tmp_path / "out"
    before = {path.name: touched(path) for path in out.glob("*.h5")}
    (out / "01.json").write_text("{}")  # of an earlier version
    (out / "02.h5").write_bytes((out / "02.h5").read_bytes()[:-9])  # cut short
    with h5py.File(out / "03.h5", "r+") as file:
        file["reconstruction"][0, 0, 0] += 1  # another image than the record says
    files[4].touch()  # a copy of other time, and nothing else
    capsys.readouterr()
    assert main(run) == 0
    assert "3 reconstructed, 2 already there, 0 failed of 5 files" in capsys.readouterr().out
    same = {name for name in before if touched(out / name) == before[name]}
    assert same == {"00.h5", "04.h5"}
    assert main(run) == 0
    assert "0 reconstructed, 5 already there, 0 failed of 5 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        (["--maps", "adaptive"], True),
        (["--no-prewhitening"], True),
        (["--also", "png"], True),
        (["--batch", "1"], False),
    ],
    ids=str,
)
def test_other_options_are_another_result(tmp_path, weights, capsys, change, redone):
    raw_files(tmp_path / "raw", 1)
    run = command(tmp_path / "raw", tmp_path / "out", weights, "--skip-existing")
    assert main(run) == 0
    capsys.readouterr()
    assert main([*run, *change]) == 0
    assert f"{int(redone)} reconstructed, {int(not redone)} already there" in capsys.readouterr().out


def test_other_weights_and_another_raw_file_are_another_result(tmp_path):
    (raw,) = raw_files(tmp_path / "raw", 1)
    job = Job(out=tmp_path / "out", weights="w")

    def status(model, job=job):
        (outcome,) = reconstruct_archive(model, [raw], job, skip_existing=True)
        return outcome.status

    assert status(model_of()) == "reconstructed"
    assert status(model_of()) == "already there"
    assert status(model_of(), Job(out=tmp_path / "out", weights="same under another name")) == "already there"
    assert status(model_of(seed=1)) == "reconstructed"
    assert status(model_of(seed=1, cg_iterations=2)) == "reconstructed", "the same weights, another model"
    with h5py.File(raw, "r+") as file:
        file["kspace"][0, 0, 0] += 1
    assert status(model_of(seed=1, cg_iterations=2)) == "reconstructed"


def test_a_png_of_an_older_run_is_not_this_ones(tmp_path):
    (raw,) = raw_files(tmp_path / "raw", 1)
    for job, expected in [
        (Job(out=tmp_path, also=("png",)), "reconstructed"),
        (Job(out=tmp_path, maps="adaptive"), "reconstructed"),
        (Job(out=tmp_path, maps="adaptive", also=("png",)), "reconstructed"),
        (Job(out=tmp_path, maps="adaptive", also=("png",)), "already there"),
        (Job(out=tmp_path, maps="adaptive"), "already there"),
    ]:
        (outcome,) = reconstruct_archive(ZeroFilled(), [raw], job, skip_existing=True)
        assert outcome.status == expected


def test_shards_together_are_the_whole(tmp_path, weights, capsys, monkeypatch):
    raw_files(tmp_path / "raw", 5)
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    done = []
    for task, expected in (("1", ["00.h5", "02.h5", "04.h5"]), ("2", ["01.h5", "03.h5"])):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        assert main(command(tmp_path / "raw", tmp_path / "out", weights, "--shard", "slurm")) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines[:-1]] == expected
        assert f"shard {int(task) - 1}/2" in lines[-1]
        done += expected
    assert sorted(path.name for path in (tmp_path / "out").glob("*.h5")) == sorted(done)
    assert main(command(tmp_path / "raw", tmp_path / "out", weights, "--shard", "7/9")) == 0, "a shard without files"


def test_files_and_folders_are_taken_once_each(tmp_path, weights, capsys):
    files = raw_files(tmp_path / "raw", 2)
    (tmp_path / "raw" / ".partial-1-c.h5").write_text("unfinished")
    (tmp_path / "raw" / "notes.txt").write_text("mine")
    run = command(tmp_path / "raw", tmp_path / "out", weights)
    assert main([*run[:1], str(files[1]), *run[1:]]) == 0
    assert "2 reconstructed, 0 already there, 0 failed of 2 files" in capsys.readouterr().out


def test_axes_are_for_the_arrays_of_a_folder(tmp_path, weights, capsys):
    raw_files(tmp_path / "raw", 1)
    kspace = np.random.default_rng(0).standard_normal((3, 24, 24, 2), dtype=np.float32).view(np.complex64)[..., 0]
    np.save(tmp_path / "raw" / "array.npy", kspace)
    assert main(command(tmp_path / "raw", tmp_path / "out", weights, "--axes", "coil ky kx")) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.h5")} == {"00.h5", "array.h5"}
    (tmp_path / "raw" / "array.npy").unlink()
    assert main(command(tmp_path / "raw", tmp_path / "out", weights, "--axes", "coil ky kx")) == 2
    assert "expected --axes for arrays only, got 'coil ky kx' and no array. Drop it." in capsys.readouterr().err


def test_the_failure_of_a_single_file_is_said_once(tmp_path, weights, capsys):
    (raw,) = raw_files(tmp_path / "raw", 1)
    raw.write_text("not HDF5")
    assert main(command(raw, tmp_path / "out", weights)) == 2
    said = capsys.readouterr()
    assert (said.out + said.err).count("expected an HDF5 file") == 1


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_the_run_and_damages_nothing(tmp_path, monkeypatch):
    files = raw_files(tmp_path / "raw", 9)
    job = Job(out=tmp_path / "out")
    list(reconstruct_archive(ZeroFilled(), files[:2], job))
    before = {path: path.read_bytes() for path in sorted(job.out.glob("*.*"))}
    written = []

    def until_full(file, name, value):
        written.append(name)
        full()

    monkeypatch.setattr(h5py.Group, "__setitem__", until_full)
    monkeypatch.setattr("invrim.reconstruction.archive.require_writable", _writable_once())
    outcomes = list(reconstruct_archive(ZeroFilled(), files, job))
    assert outcomes[0].status == "failed"
    assert outcomes[0].reason.count("no space left on device") == 1
    assert [outcome.path for outcome in outcomes] == files, "each is accounted for"
    assert [outcome.status for outcome in outcomes[-4:]] == ["not tried"] * 4
    assert len(written) < 5
    assert {path: path.read_bytes() for path in sorted(job.out.glob("*.*"))} == before
    assert not list(job.out.rglob(".partial*"))


def _writable_once():
    asked = []

    def require_writable(folder):
        asked.append(folder)
        if len(asked) > 1:
            raise FileError(f"cannot write into {folder}: no space left on device.")

    return require_writable


def test_a_failing_write_of_one_file_leaves_the_others(tmp_path):
    files = raw_files(tmp_path / "raw", 3)
    (tmp_path / "out" / "01.h5").mkdir(parents=True)
    outcomes = statuses(reconstruct_archive(ZeroFilled(), files, Job(out=tmp_path / "out")))
    assert outcomes == {"00.h5": "reconstructed", "01.h5": "failed", "02.h5": "reconstructed"}


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_computed(tmp_path, weights, capsys, monkeypatch):
    raw_files(tmp_path / "raw", 2)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", _read_only)
    monkeypatch.setattr(volume.Making, "add", lambda *_: pytest.fail("computed"))
    assert main(command(tmp_path / "raw", tmp_path / "out", weights)) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        f"invrim: cannot write into {tmp_path / 'out'}: read-only file system. Choose a folder that can be written "
        f"and has room.\n"
    )


def _read_only(*_, **__):
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_file_that_goes_away_while_it_is_read_is_named(tmp_path):
    files = raw_files(tmp_path / "raw", 3)

    def remove(path, done, total):
        files[2].unlink(missing_ok=True)

    outcomes = list(reconstruct_archive(ZeroFilled(), files[1:], Job(out=tmp_path / "o", batch=1), on_progress=remove))
    assert [outcome.status for outcome in outcomes] == ["reconstructed", "failed"]
    assert outcomes[1].reason.endswith(
        "02.h5: expected an HDF5 file, got nothing at this path. Check the spelling."
    ) or ("02.h5: expected a raw file, got nothing" in outcomes[1].reason)


class Faulty(ZeroFilled):
    """A model with a bug that one scan brings to light."""

    def forward(self, fidelity):
        if fidelity.data.shape[0] == 2:
            raise ZeroDivisionError("of mine")
        return super().forward(fidelity)


def test_what_nobody_foresaw_costs_one_file_and_keeps_its_traceback(tmp_path):
    outcomes = list(reconstruct_archive(Faulty(), raw_files(tmp_path / "raw", 3), Job(out=tmp_path / "out")))
    assert [outcome.status for outcome in outcomes] == ["reconstructed", "failed", "reconstructed"]
    assert outcomes[1].reason == "01.h5: ZeroDivisionError: of mine"
    status = json.loads((tmp_path / "out" / "status" / "01.json").read_text())
    assert any("in forward" in line for line in status["traceback"])


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    (raw,) = raw_files(tmp_path / "raw", 1)
    out = tmp_path / "out"
    (out / ".partial-1-00-dicom").mkdir(parents=True)
    for name in (".partial-1-00.h5", ".partial-22-00.json", ".partial-3-other.h5", "mine.h5"):
        (out / name).write_text("half")
    (outcome,) = reconstruct_archive(ZeroFilled(), [raw], Job(out=out, also=("dicom",)))
    assert outcome.status == "reconstructed"
    left = {path.name for path in out.iterdir()}
    assert left == {"00.h5", "00.json", "00-dicom", "status", "mine.h5", ".partial-3-other.h5"}


def test_leaving_early_ends_the_threads_and_leaves_whole_files(tmp_path):
    before = threading.active_count()
    run = reconstruct_archive(ZeroFilled(), raw_files(tmp_path / "raw", 6), Job(out=tmp_path / "out"))
    next(run)
    run.close()
    assert threading.active_count() == before
    for images in Path(tmp_path / "out").glob("*.h5"):
        record = json.loads(images.with_suffix(".json").read_text())
        assert hash_of(read_reconstruction(images)) == record["images"]["sha256"]
