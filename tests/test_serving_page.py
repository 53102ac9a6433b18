"""docs/serving.md keeps its word: its code runs, its tables are the program's, its links lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest

from data.ismrmrd_files import PointScan
from invrim.cli.main import main
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import Job, reconstruct_slices
from invrim.serving.protocol import Message
from serving.mrd_client import serving

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_block_sends_a_file_and_receives_its_images(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    raw = PointScan(matrix=(32, 24, 1), slices=2).write(tmp_path / "ismrmrd.h5")
    names = {}
    with serving(ZeroFilled()) as server:
        exec(compile(code.replace("9002", str(server.address[1])), "serving.md", "exec"), names)
        names["stream"].close()
    expected, _ = reconstruct_slices(ZeroFilled(), raw, Job(out=tmp_path))
    assert len(names["answer"]) == len(names["images"]) == 2
    for image, wanted in zip(names["images"], expected.numpy(), strict=True):
        np.testing.assert_allclose(image.data[0, 0].T, wanted, rtol=1e-5, atol=1e-6)


def test_the_messages_are_those_of_the_server():
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == [int(kind) for kind in Message]


def test_the_options_are_those_of_the_command(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    rows = re.findall(r"^\| `(--[\w-]+)` \| `([\w.]+)` \|", PAGE, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(set(re.findall(r"--[a-z-]+(?= )", text)) - {"--help"})
    for name, default in rows:
        described = text.split(f" {name} ")[-1].split("(default: ")[1]
        assert described.startswith(f"{default})"), name


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []
