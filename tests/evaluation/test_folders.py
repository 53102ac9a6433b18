"""From two folders to numbers in a file and on the terminal."""

import json
import math
import statistics

import numpy as np
import pytest
import torch
from rich.console import Console

from evaluation.scored_folders import volumes, write_pair
from invrim.errors import DataError, FileError, InvrimError, OptionError, ShapeError
from invrim.evaluation import (
    Evaluation,
    comparison_table,
    evaluate_folders,
    evaluate_volume,
    evaluation_table,
    read_evaluation,
    write_evaluation,
)


@pytest.fixture
def folders(tmp_path):
    for seed in range(3):
        write_pair(tmp_path, f"file{seed}.h5", *volumes(seed, larger=(2 * seed, 4)))
    return tmp_path / "targets", tmp_path / "predictions"


def printed(table):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_every_volume_is_scored_as_alone_and_averaged(folders):
    found = evaluate_folders(*folders, "fastmri")
    target, prediction = volumes(1, larger=(2, 4))
    assert found.volumes["file1.h5"] == evaluate_volume(torch.from_numpy(target), torch.from_numpy(prediction))
    values = [found.volumes[f"file{i}.h5"]["ssim"] for i in range(3)]
    assert found.mean["ssim"] == pytest.approx(statistics.fmean(values))
    assert found.std["ssim"] == pytest.approx(statistics.stdev(values))


def test_the_json_file_has_exactly_the_documented_fields(folders, tmp_path):
    found = evaluate_folders(*folders)
    content = json.loads(write_evaluation(found, tmp_path / "scores.json").read_text())
    assert list(content) == ["protocol", "mean", "std", "volumes"]
    assert all(list(content[part]) == ["nmse", "psnr", "ssim"] for part in ("mean", "std"))
    assert list(content["volumes"]) == ["file0.h5", "file1.h5", "file2.h5"]
    assert read_evaluation(tmp_path / "scores.json") == found


def test_a_perfect_reconstruction_is_still_valid_json(tmp_path):
    target, _ = volumes(0)
    write_pair(tmp_path, "perfect.h5", target, target)
    found = evaluate_folders(tmp_path / "targets", tmp_path / "predictions")
    assert found.mean["psnr"] == math.inf
    assert found.as_json()["mean"]["psnr"] is None
    assert found.std == {"nmse": 0.0, "psnr": 0.0, "ssim": 0.0}
    assert read_evaluation(write_evaluation(found, tmp_path / "s.json")) == found
    assert "∞" in printed(evaluation_table(found))


def test_mistakes_are_told_in_one_line(folders, tmp_path):
    targets, predictions = folders
    (predictions / "file1.h5").unlink()
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = [
        (FileError, "1 of 3 predictions missing .* expected file1.h5", (targets, predictions)),
        (FileError, "found none", (empty, predictions)),
        (FileError, "not a folder", (tmp_path / "nowhere", predictions)),
        (OptionError, "Did you mean 'fastmri'", (targets, predictions, "fastmi")),
    ]
    for kind, message, arguments in cases:
        with pytest.raises(kind, match=message) as caught:
            evaluate_folders(*arguments)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, InvrimError)


def test_a_bad_prediction_is_named(tmp_path):
    target, prediction = volumes(0)
    write_pair(tmp_path, "nan.h5", target, np.where(prediction > 1e-3, np.nan, prediction))
    with pytest.raises(DataError, match=r"^nan\.h5: prediction has \d+ values that are NaN"):
        evaluate_folders(tmp_path / "targets", tmp_path / "predictions")
    write_pair(tmp_path, "nan.h5", target, prediction[:2])
    with pytest.raises(ShapeError, match=r"^nan\.h5: prediction is \(2, 30, 22\)"):
        evaluate_folders(tmp_path / "targets", tmp_path / "predictions")


def test_a_file_being_written_is_no_target(folders):
    (folders[0] / ".partial-1-file9.h5").touch()
    assert len(evaluate_folders(*folders).volumes) == 3


def test_tables_carry_the_protocol_and_the_spread(folders):
    found = evaluate_folders(*folders)
    for table in (evaluation_table(found), comparison_table({"zero-filled": found, "i-RIM": found})):
        text = printed(table)
        assert "protocol: fastmri" in text
        assert f"{found.mean['psnr']:.2f} ± {found.std['psnr']:.2f}" in text


def test_a_long_list_starts_with_the_worst():
    many = {f"{i:03}.h5": {"nmse": 0.1, "psnr": 30.0, "ssim": 0.9 - i / 1000} for i in range(50)}
    text = printed(evaluation_table(Evaluation(protocol="fastmri", volumes=many)))
    assert "049.h5" in text
    assert "000.h5" not in text
    assert "38 with higher SSIM" in text


def test_protocols_are_not_mixed(folders):
    found = evaluate_folders(*folders)
    other = Evaluation(protocol="other", volumes=found.volumes)
    with pytest.raises(OptionError, match="fastmri, other: expected one"):
        comparison_table({"a": found, "b": other})


def test_a_foreign_json_file_is_refused(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("[1, 2]")
    with pytest.raises(FileError, match="not an evaluation"):
        read_evaluation(path)
