"""One command, every protocol: numbers side by side, and why they differ."""

import json

import numpy as np
import pytest

from evaluation.scored_folders import volumes, write_pair
from invrim.cli import evaluate
from invrim.cli.main import main
from invrim.errors import DataError
from invrim.evaluation import PROTOCOLS, evaluate_folders, evaluate_side_by_side, reasons


def folders(root, slices=9, **change):
    for seed in range(2):
        target, prediction = volumes(seed, (slices, 48, 44))
        for name, edit in change.items():
            edit(target if name == "target" else prediction)
        write_pair(root, f"file{seed}.h5", target, prediction)
    return root / "targets", root / "predictions"


def test_each_row_is_the_protocol_alone(tmp_path):
    places = folders(tmp_path, slices=103)
    found = evaluate_side_by_side(*places)
    assert list(found.evaluations) == list(PROTOCOLS)
    for name, one in found.evaluations.items():
        assert one == evaluate_folders(*places, name)
    assert found.undefined == {}


def test_the_command_prints_the_numbers_and_a_reason_each(tmp_path, capsys):
    targets, predictions = folders(tmp_path)
    out = tmp_path / "s.json"
    command = ["evaluate", "--targets", targets, "--predictions", predictions, "--protocol", "all", "--json", out]
    assert main([str(word) for word in command]) == 0
    text = capsys.readouterr().out
    found = evaluate_side_by_side(targets, predictions)
    for name, protocol in PROTOCOLS.items():
        if name != "calgary":
            assert f"{name}: {protocol.differs}.\n" in text
            assert f"{found.evaluations[name].mean['ssim']:.4f}" in text
    assert "calgary: not defined here. file0.h5: target has 9 slices: expected more than 100" in text
    content = json.loads(out.read_text())
    assert list(content["protocols"]) == ["fastmri", "volume", "slice", "cmrxrecon"]
    assert content["protocols"]["slice"] == found.evaluations["slice"].as_json()
    assert list(content["undefined"]) == ["calgary"]


def test_a_protocol_counts_only_if_it_is_defined_for_every_volume(tmp_path):
    folders(tmp_path)
    target, prediction = volumes(7, (9, 48, 44))
    target[5] = 0
    write_pair(tmp_path, "file9.h5", target, prediction)
    found = evaluate_side_by_side(tmp_path / "targets", tmp_path / "predictions")
    assert "file9.h5: target has 1 empty slices" in found.undefined["slice"]
    assert "cmrxrecon" in found.evaluations  # slice 5 is not of the two in the middle
    assert any(line.startswith("slice: not defined here.") for line in reasons(found))


def test_a_volume_that_nobody_can_score_is_an_error(tmp_path):
    def break_it(volume):
        volume[1, 2, 3] = np.nan

    with pytest.raises(DataError, match=r"file0\.h5: prediction has 1 values that are NaN"):
        evaluate_side_by_side(*folders(tmp_path, prediction=break_it))


def test_the_help_names_the_protocols_there_are():
    assert ", ".join(PROTOCOLS) == evaluate.PROTOCOLS


def test_reasons_fit_on_a_line():
    assert all(0 < len(f"{name}: {protocol.differs}.") <= 120 for name, protocol in PROTOCOLS.items())
    assert all("\n" not in protocol.differs and protocol.source for protocol in PROTOCOLS.values())
