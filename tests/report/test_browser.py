"""The page in a real browser: every picture arrives, at both widths, and a broken one is noticed."""

import re
import shutil
import subprocess

import pytest

from invrim.report.page import render
from report.stories import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on this machine")

QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PROBE = """<script>addEventListener("load", () => {
  const found = [...document.images].map(i => `${i.complete ? i.naturalWidth : 0}x${i.naturalHeight}`).join(" ");
  document.body.innerHTML = `<p id="found">${found} | ${innerWidth} ${document.documentElement.scrollWidth}</p>`;
});</script>"""
"""Appended by the test alone: reports have no scripts."""


def opened(page, folder, width):
    """Sizes of all pictures, width of the window, width of the content."""
    path = folder / "page.html"
    path.write_text(page + PROBE, encoding="utf-8")
    command = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom"]
    result = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r'id="found">([^|]*)\| (\d+) (\d+)', result.stdout)
    assert found, f"the page did not load: {result.stderr[-500:]}"
    sizes = [tuple(map(int, size.split("x"))) for size in found[1].split()]
    return sizes, int(found[2]), int(found[3])


def assert_all_pictures(sizes, count):
    assert len(sizes) == count
    assert all(width > 0 and height > 0 for width, height in sizes), f"a picture is missing: {sizes}"


def test_a_laptop_shows_every_wide_picture(tmp_path):
    sizes, window, _ = opened(render(report()), tmp_path, 1280)
    assert window == 1280
    assert_all_pictures(sizes, 4)
    assert {width for width, _ in sizes} == {1512}


def test_a_narrow_window_shows_the_tall_pictures_without_scrolling_sideways(tmp_path):
    sizes, window, content = opened(render(report()), tmp_path, 520)
    assert_all_pictures(sizes, 4)
    assert {width for width, _ in sizes} == {588}
    assert content <= window


def test_the_law_rejects_a_broken_picture(tmp_path):
    broken = render(report()).replace(
        '<img src="data:image/png;base64,iVBORw0KGgo', '<img src="data:image/png;base64,AAAA', 1
    )
    sizes, _, _ = opened(broken, tmp_path, 1280)
    with pytest.raises(AssertionError, match="a picture is missing"):
        assert_all_pictures(sizes, 4)
