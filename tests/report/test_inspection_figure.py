"""The picture of a raw file shows what was sampled, and k-space turned as the images are."""

import numpy as np

from data.ismrmrd_files import PointScan
from invrim.data.inspection import inspect_file
from invrim.report.inspection_figure import inspection_figure
from scans import scan_file


def panels(path):
    return {axes.get_title(): axes.images[0] for axes in inspection_figure(inspect_file(path)).axes}


def test_a_full_scan_is_white_where_it_was_sampled(tmp_path):
    panel = panels(scan_file(tmp_path, coils=2))["sampled"]
    assert (panel.norm.vmin, panel.norm.vmax) == (0, 1)
    assert (panel.get_array() == 1).all()


def test_k_space_is_turned_with_the_images(tmp_path):
    lines = [*range(0, 24, 4), 11, 12, 13]
    scan = PointScan(points=((4, 4, 3),), brightness=(1,), matrix=(32, 24, 1), lines=lambda _: sorted({*lines}))
    found = panels(scan.write(tmp_path / "a.h5"))
    sampled = np.asarray(found["sampled"].get_array())
    assert sampled.shape == found["zero-filled"].get_array().shape == (24, 32), "the readout runs from left to right"
    assert (sampled.min(axis=1) == sampled.max(axis=1)).all(), "lines along it"
    assert 0 < sampled.mean() < 1
