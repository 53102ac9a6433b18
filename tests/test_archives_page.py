"""docs/archives.md keeps its word: its commands are ones, its statuses and fields are those that are written."""

import json
import re
import shlex
from pathlib import Path

from invrim.cli.main import main
from invrim.cli.reconstruct import _parser
from invrim.models import save_model
from reconstruction.test_archive import model_of, raw_files

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "archives.md").read_text(encoding="utf-8")


def commands():
    return [shlex.split(line)[2:] for line in re.findall(r"^    (invrim reconstruct .*)$", PAGE, re.MULTILINE)]


def test_every_command_is_one():
    assert len(commands()) == 3
    for command in commands():
        _parser().parse_args(command)
    flags = set(re.findall(r"`(--(?:shard|skip|ray)[\w-]*)", PAGE))
    known = {option for action in _parser()._actions for option in action.option_strings}
    assert {"--shard", "--skip-existing", "--ray"} <= flags <= known


def test_the_first_command_does_what_is_said(tmp_path, monkeypatch):
    raw_files(tmp_path / "scans", 2)
    (tmp_path / "scans" / "broken.h5").write_text("not HDF5")
    monkeypatch.chdir(tmp_path)
    save_model(model_of(), Path("w.safetensors"))
    assert main(["reconstruct", *commands()[0], "--weights", "w.safetensors"]) == 2
    found = {path.stem: json.loads(path.read_text()) for path in Path("images/status").glob("*.json")}
    assert {name: status["status"] for name, status in found.items()} == {
        "00": "reconstructed", "01": "reconstructed", "broken": "failed",
    }  # fmt: skip
    for field in re.findall(r"`(status|error|seconds|shard|host)`", PAGE):
        assert field in found["00"]
    Path("scans/broken.h5").unlink()
    assert main(["reconstruct", *commands()[0], "--weights", "w.safetensors"]) == 0
