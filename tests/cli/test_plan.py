"""`invrim plan` as a newcomer meets it; the planner itself is stood in for by arithmetic, and tested elsewhere."""

import json
import re
from dataclasses import dataclass

import pytest
import yaml

from invrim.cli.main import main
from invrim.planning import forecast
from scans import scan_file

MB = 10**6


@dataclass
class Arithmetic:
    """Needs 100 MB, and 1 MB for every channel, step, slice of a batch and slice of a slab."""

    smallest: object
    worker = 7 * MB

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def peak(self, work) -> int:
        recipe, _ = work.args
        model, data = recipe.model, recipe.data
        sizes = getattr(model, "channels", 0) + getattr(model, "steps", 0) + data.batch_size + (data.slab or 0)
        return (100 + sizes) * MB

    def growth(self, less, more) -> tuple[int, float]:
        return self.peak(more) - self.peak(less), 3.0

    def forecast(self, work) -> forecast.Forecast:
        peak = self.peak(work)
        held = {"parameters": 3 * MB, "gradients": 3 * MB, "optimiser": 6 * MB, "average": 0, "data": MB}
        return forecast.Forecast(
            held=held, libraries=50 * MB, working=peak - 63 * MB, peak=peak, worst=peak + MB, in_validation=False,
            seconds=2.0,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def planner(monkeypatch):
    monkeypatch.setattr(forecast, "Planner", Arithmetic)


def lines_of(capsys, *argv: object) -> list[str]:
    assert main(["plan", *map(str, argv)]) == 0
    return capsys.readouterr().out.splitlines()


def test_without_a_file_it_says_what_it_assumes(capsys):
    lines = lines_of(capsys)
    assert lines[0] == "irim, matrix 320 x 320, 1 coil (assumed: set --matrix)"
    rows = {line[:45].strip(): line[45:].strip() for line in lines[1:]}
    assert rows["parameters"] == "3 MB"
    assert rows["training process, at the peak of an update"].endswith("148 MB")
    assert rows["loader processes (1)"] == "10 MB"
    assert rows["together"] == "158 MB"
    assert rows["time of 10,000 updates"] == "5.56 h"
    assert "average of weights" not in rows


def test_flags_win_over_the_file_and_files_over_assumptions(tmp_path, capsys):
    scan_file(tmp_path / "in")
    config = tmp_path / "recipe.yaml"
    model = {"steps": 2, "hidden": [4], "strides": [2], "channels": 8}
    folders = {"train": str(tmp_path / "in"), "validation": "v"}
    config.write_text(yaml.safe_dump({"data": folders, "model": model, "optimisation": {"epochs": 3}, "out": "o"}))
    file = tmp_path / "plan.json"
    lines = lines_of(capsys, "--config", config, "--model.steps", 5, "--json", file)
    assert "(as in " in lines[0]
    assert not any("updates" in line for line in lines), "how many updates three epochs are, only the data say"
    told = json.loads(file.read_text())
    assert told["recipe"]["model"]["steps"] == 5
    assert told["recipe"]["model"]["channels"] == 8
    assert told["scan"]["matrix"] != [320, 320]
    lines = lines_of(capsys, "--config", config, "--matrix", 64, 48, "--coils", 15, "--target", 32, 40, "--json", file)
    assert lines[0] == "irim, matrix 64 x 48, 15 coils (as given)"
    assert json.loads(file.read_text())["scan"] == {"matrix": [64, 48], "coils": 15, "target": [32, 40]}


def test_proposals_are_recipe_fields_that_fit(tmp_path, capsys):
    file = tmp_path / "plan.json"
    argv = ["--data.workers", 0, "--data.slab", 20, "--model.ndim", 3, "--data.batch_size", 2, "--memory", "250MB"]
    lines = lines_of(capsys, *argv, "--json", file)
    # 100 for nothing, 1 for the worst pass; 32 channels, 8 steps, 2 slabs of 20 slices
    room = 250 - 101
    fields = {p["name"]: p["fields"] for p in json.loads(file.read_text())["proposals"]}
    widest = 8 * ((room - 30) // 8)
    assert fields["widest"]["model"]["channels"] == widest
    assert fields["widest"]["model"]["hidden"][2] == 2 * widest
    assert fields["deepest"] == {"model": {"steps": room - 54}}
    assert fields["largest batch"] == {"data": {"batch_size": room - 60}}
    assert fields["largest slab"] == {"data": {"slab": room - 42}}
    start = next(n for n, line in enumerate(lines) if line.startswith("deepest: 250 MB, 34.6 s an update"))
    assert yaml.safe_load("\n".join(lines[start + 1 : start + 3])) == fields["deepest"]


def test_a_preset_and_baselines_have_plans_too(capsys):
    assert lines_of(capsys, "--model.preset", "volume-400", "--data.slab", 8)[0].startswith("irim, ")
    assert lines_of(capsys, "--model.kind", "unet", "--memory", "1GB")[0].startswith("unet, ")
    first = lines_of(capsys, "--model.preset", "fastmri-multicoil-2019", "--coils", 15)[0]
    assert "15 coils" in first


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--memory", "60MB"], r"at least 140MB \(with model.channels 8, .*\), got 60 MB. Raise it, or"),
        (["--memory", "plenty"], "expected --memory such as '8GB'"),
        (["--matrix", "0", "9"], "expected sizes above 0"),
        (["--model.channls", "9"], "Did you mean 'model.channels'"),
        (["--data.slab", "9"], "expected data.slab where the model is in 3D"),
        (["--model.preset", "fastmri-multicoil-2019", "--coils", "2"], "expected 15 coils"),
        (["--config", "nothing.yaml"], "nothing.yaml"),
    ],
    ids=["memory", "unit", "matrix", "key", "slab", "coils", "file"],
)
def test_what_cannot_be_is_one_line(capsys, argv, message):
    assert main(["plan", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("invrim: ")
    assert captured.err.count("\n") == 1
    assert re.search(message, captured.err), captured.err
