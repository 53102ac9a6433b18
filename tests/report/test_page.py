"""The page as text: complete, self-contained, escaped, and true to its numbers."""

import re

import pytest

from invrim.errors import OptionError
from invrim.report import Report, TableRow, write_report
from invrim.report.page import render
from report.stories import case, evaluation, report

ADDRESS = re.compile(r"""(?:src|srcset|href|url|action)\s*[=(]\s*["']?(?!data:)[^"'\s>]+""")


def assert_self_contained(page):
    outside = ADDRESS.findall(page) + re.findall(r"<script|@import|https?://", page)
    assert not outside, f"the page reaches outside: {outside[:3]}"


@pytest.fixture(scope="module")
def page():
    return render(report())


def test_the_page_needs_nothing_but_itself(page):
    assert_self_contained(page)


@pytest.mark.parametrize(
    "fault", ['<img src="a.png">', "<script>1</script>", "<style>@import 'x'</style>", "url(x.woff)"]
)
def test_the_law_rejects_a_page_that_reaches_outside(page, fault):
    with pytest.raises(AssertionError, match="reaches outside"):
        assert_self_contained(page + fault)


def test_every_figure_has_a_wide_and_a_tall_picture(page):
    assert page.count("<figure>") == page.count("<source ") == page.count("<img ") == 4
    assert page.count("data:image/png;base64,") == 8


def test_words_of_the_user_are_escaped(page):
    assert "Brains &amp; &lt;knees&gt;" in page
    assert "<knees>" not in page


def test_numbers_carry_their_protocol_and_the_best_is_marked(page):
    assert "Protocol <b>fastmri</b>" in page
    assert page.index("4-fold acceleration, 2 volumes") < page.index("8-fold acceleration, 2 volumes")
    assert page.count('<td class="best">0.9050 <span class="std">± 0.0071</span>') == 2
    assert '<td class="best">0.0910' in page, "the smallest NMSE is the best"


def test_scans_are_told_apart_in_the_table():
    rows = [
        TableRow(scan=scan, method="i-RIM", acceleration=n, evaluation=evaluation(0.5))
        for n in (8, 4)
        for scan in ("knee & co", "brain")
    ]
    groups = re.findall(r'rowgroup" colspan="4">(.*?)</th>', render(Report(title="x", table=rows)))
    assert groups == [f"{s}, {n}-fold acceleration, 2 volumes" for s in ("knee &amp; co", "brain") for n in (4, 8)]


def test_captions_take_their_numbers_from_the_data(page):
    assert "8 of 30 columns of k-space were measured, 3.8-fold" in page
    assert "store 10 MB → 1 GB (100-fold)" in page
    assert "invert 10 MB → 10 MB (unchanged)" in page
    assert "from 0.700 to 0.800" in page


def test_protocols_are_not_mixed_in_one_table():
    rows = [TableRow(method=p, acceleration=4, evaluation=evaluation(0.5, p)) for p in ("fastmri", "other")]
    with pytest.raises(OptionError, match="do not compare"):
        render(Report(title="x", table=rows))


def test_empty_parts_are_left_out():
    assert "<h2>" not in render(Report(title="Nothing yet"))


def test_the_file_is_whole_and_the_same_every_time(tmp_path):
    story = Report(title="x", cases=[case()])
    first = write_report(story, tmp_path / "a.html").read_bytes()
    assert write_report(story, tmp_path / "b.html").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]
