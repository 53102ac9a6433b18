"""Folders of targets and predictions as users have them."""

import h5py
import numpy as np


def write_pair(root, name, target, prediction):
    for folder, dataset, volume in (
        ("targets", "reconstruction_esc", target),
        ("predictions", "reconstruction", prediction),
    ):
        (root / folder).mkdir(exist_ok=True)
        with h5py.File(root / folder / name, "w") as file:
            file[dataset] = volume
            if folder == "targets":
                file["kspace"] = volume.astype(np.complex64)


def volumes(seed, shape=(3, 30, 22), larger=(0, 0)):
    random = np.random.default_rng(seed)
    full = (shape[0], shape[1] + larger[0], shape[2] + larger[1])
    prediction = 1e-4 * random.random(full, dtype=np.float32).cumsum(axis=-1)
    top, left = larger[0] // 2, larger[1] // 2
    target = prediction[:, top : top + shape[1], left : left + shape[2]]
    return target + 2e-5 * random.standard_normal(shape).astype(np.float32), prediction
