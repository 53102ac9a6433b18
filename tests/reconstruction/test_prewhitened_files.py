"""Scans with a noise scan are prewhitened: the noise of the image falls, and units stay where they can."""

import json
import math
from dataclasses import replace

import pytest
import torch

from invrim import IRIM
from invrim.data.acquisition import Acquisition
from invrim.data.prewhitening import mix_coils
from invrim.data.scan import LoadedScan
from invrim.data.simulation import simulate_volume
from invrim.errors import DataError
from invrim.models.baselines import ZeroFilled
from invrim.models.cg_sense import ConjugateGradientSENSE
from invrim.reconstruction import Job, reconstruct_file
from invrim.reconstruction.volume import reconstruct_scan
from scans import phantom, scan_file

WHITE = torch.eye(4)
COUPLED = torch.diag(torch.tensor([0.3, 1.0, 0.5, 2.0])) @ (torch.eye(4) + 0.8 * torch.ones(4, 4).triu(1))
REPEATED = torch.ones(4, 4)


def noisy_scan(coupling: torch.Tensor, seed: int = 0) -> LoadedScan:
    """Noise that the coils share, in k-space and in a noise scan."""
    clean = simulate_volume(phantom(2), "a.h5", coils=4, acceleration=2, snr=math.inf)
    generator = torch.Generator().manual_seed(seed)
    measured, alone = (
        mix_coils(0.05 * coupling, torch.randn(shape, dtype=torch.cfloat, generator=generator))
        for shape in (clean.kspace.shape, (4, 4000, 1))
    )
    acquisition: Acquisition = replace(clean, kspace=clean.kspace + measured * clean.mask, noise=alone[..., 0])
    return LoadedScan(acquisition)


class Sense(ConjugateGradientSENSE):
    """Shows the image itself, one of all coils."""

    def magnitude(self, _, images):
        return images.abs()


def images(model, scan, folder, **options):
    return reconstruct_scan(model, scan, Job(out=folder, **options))[0]


def test_the_noise_of_the_sense_image_falls(tmp_path):
    inside = torch.from_numpy(phantom(2)) > 0.3
    noise = {}
    for prewhiten in (True, False):
        several = [images(Sense(), noisy_scan(COUPLED, seed), tmp_path, prewhiten=prewhiten) for seed in range(6)]
        deviation, mean = torch.std_mean(torch.stack(several), dim=0)
        noise[prewhiten] = float((deviation / mean)[inside].mean())
    assert noise[True] < 0.8 * noise[False]


def test_with_white_noise_nothing_changes_but_what_its_estimate_is_off(tmp_path):
    scan = noisy_scan(WHITE)
    whitened, plain = (images(ZeroFilled(), scan, tmp_path, prewhiten=prewhiten) for prewhiten in (True, False))
    assert (whitened - plain).norm() < 0.03 * plain.norm()
    coupled, raw = (images(ZeroFilled(), noisy_scan(COUPLED), tmp_path, prewhiten=p) for p in (True, False))
    assert (coupled - raw).norm() > 0.1 * raw.norm()


def test_in_parts_it_is_the_same(tmp_path):
    scan = noisy_scan(COUPLED)
    torch.testing.assert_close(images(Sense(), scan, tmp_path, batch=1), images(Sense(), scan, tmp_path, batch=2))


def test_models_without_coil_maps_see_the_coils_as_they_are(tmp_path):
    torch.manual_seed(0)
    model = IRIM(steps=1, hidden=[4], strides=[1], channels=16, images=4, head="eta")
    scan = noisy_scan(COUPLED)
    assert torch.equal(images(model, scan, tmp_path), images(model, scan, tmp_path, prewhiten=False))


def test_noise_that_is_no_base_names_the_file_and_the_way_out(tmp_path):
    scan = noisy_scan(REPEATED)
    with pytest.raises(DataError, match=r"^a\.h5: .* singular covariance .* or reconstruct without prewhitening"):
        images(ZeroFilled(), scan, tmp_path)
    assert images(ZeroFilled(), scan, tmp_path, prewhiten=False).isfinite().all()


def test_the_record_says_so(tmp_path, monkeypatch):
    scan, raw = noisy_scan(COUPLED), scan_file(tmp_path / "raw")
    monkeypatch.setattr("invrim.reconstruction.volume.open_scan", lambda *_: scan)
    found = {}
    for prewhiten in (True, False):
        job = Job(out=tmp_path, prewhiten=prewhiten, maps="espirit")
        reconstruct_file(ZeroFilled(), raw, job)
        found[prewhiten] = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert {key: record["prewhitened"] for key, record in found.items()} == {True: True, False: False}
    assert found[True]["coil_maps"] == "espirit"
