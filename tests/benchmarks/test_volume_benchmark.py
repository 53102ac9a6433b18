"""The benchmark of volumes runs, goes on where it stopped, and depth costs nothing but parameters."""

import json

import nibabel
import numpy as np

from benchmarks.script import run_script
from scans import phantom


def test_depth_in_3d_costs_parameters_gradients_and_moments_alone(tmp_path):
    image = tmp_path / "head.nii.gz"
    nibabel.save(nibabel.Nifti1Image(phantom(30, (30, 30)), np.eye(4)), image)
    command = ("volume.py", "--image", image, "--out", tmp_path, "--cases", "small", "small, deep")
    run_script(*command)
    shallow, deep = json.loads((tmp_path / "volume.json").read_text(encoding="utf-8"))["results"]
    assert (shallow["layers"], deep["layers"]) == (10, 60)
    assert deep["parameter_bytes"] > 4 * shallow["parameter_bytes"]
    for row in (shallow, deep):
        assert row["gradient_bytes"] == row["parameter_bytes"]
        assert row["optimiser_bytes"] >= 2 * row["parameter_bytes"]
    # Both are a few states and some megabytes of the interpreter's; fifty more layers' activations would be 90 states.
    assert abs(deep["step_bytes"] - shallow["step_bytes"]) < 30 * shallow["state_bytes"]
    again = run_script(*command)
    assert again.stdout.splitlines() == [str(tmp_path / "volume.json")]
