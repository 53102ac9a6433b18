"""The benchmark of volumes runs, goes on where it stopped, and depth costs nothing but parameters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

from scans import phantom

ROOT = Path(__file__).resolve().parents[2]


def test_depth_in_3d_costs_parameters_gradients_and_moments_alone(tmp_path):
    image = tmp_path / "head.nii.gz"
    nibabel.save(nibabel.Nifti1Image(phantom(30, (30, 30)), np.eye(4)), image)
    command = [sys.executable, str(ROOT / "benchmarks" / "volume.py"), "--image", str(image), "--out", str(tmp_path)]
    command += ["--cases", "small", "small, deep"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    shallow, deep = json.loads((tmp_path / "volume.json").read_text(encoding="utf-8"))["results"]
    assert (shallow["layers"], deep["layers"]) == (10, 60)
    assert deep["parameter_bytes"] > 4 * shallow["parameter_bytes"]
    for row in (shallow, deep):
        assert row["gradient_bytes"] == row["parameter_bytes"]
        assert row["optimiser_bytes"] >= 2 * row["parameter_bytes"]
    # Both are a few states and some megabytes of the interpreter's; fifty more layers' activations would be 90 states.
    assert abs(deep["step_bytes"] - shallow["step_bytes"]) < 30 * shallow["state_bytes"]
    again = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert again.stdout.splitlines() == [str(tmp_path / "volume.json")]
