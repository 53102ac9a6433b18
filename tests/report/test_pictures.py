"""What the pictures show, before and after they are drawn."""

import io

import matplotlib.image
import numpy as np
import pytest

from invrim.errors import DataError, OptionError, ShapeError
from invrim.report import MemoryCurve, TrainingCurve, ValidationCurve, collect_provenance, first_picture
from invrim.report.case_figure import case_figure
from invrim.report.detail import detail_window
from invrim.report.memory_figure import format_bytes, memory_figure, spread_apart
from invrim.report.panels import columns_of
from invrim.report.picture import png
from invrim.report.training_figure import training_figure
from report.stories import case, image, report


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_all_panels_share_the_targets_grey_scale():
    target, zero_filled, _, reconstruction = columns_of(case())
    np.testing.assert_allclose(zero_filled.panels[0].grey, 0.5 * target.panels[0].grey, rtol=1e-6)
    error = 5 * np.abs(reconstruction.panels[0].grey - target.panels[0].grey)
    np.testing.assert_allclose(reconstruction.panels[2].grey, error)


def test_the_mask_stands_under_the_target_as_columns():
    lines = columns_of(case())[0].panels[2].grey
    assert lines.shape == (40, 30)
    assert (lines == case().mask).all()


def test_each_method_is_labelled_with_its_own_scores():
    found = texts(case_figure(case()))
    assert found.count("PSNR 21.3 dB   SSIM 0.512") == 1
    assert found.count("PSNR 35.0 dB   SSIM 0.988") == 1
    assert {"target", "zero-filled", "compressed sensing", "i-RIM"} <= set(found)


@pytest.mark.parametrize("tall", [False, True])
def test_all_panels_have_the_images_proportions_and_stay_inside(tall):
    figure = case_figure(case(), tall=tall)
    assert len(figure.axes) == 12
    for axes in figure.axes:
        place = axes.get_position()
        assert place.x0 > -1e-9
        assert place.y0 > -1e-9
        assert place.x1 < 1 + 1e-9
        ratio = place.height * figure.get_figheight() / (place.width * figure.get_figwidth())
        assert ratio == pytest.approx(40 / 30)


def test_the_detail_is_where_the_structure_is():
    flat = np.zeros((60, 50), dtype=np.float32)
    flat[20:38, 30:45] = np.random.default_rng(0).random((18, 15))
    rows, columns = detail_window(flat)
    assert abs(rows.start - 20) <= 1
    assert abs(columns.start - 30) <= 1


def test_the_first_picture_is_a_png_that_opens(tmp_path):
    path = first_picture(case(), tmp_path / "first.png")
    assert matplotlib.image.imread(path).shape[1] == 1512


def test_modes_that_do_not_grow_are_drawn_flat_and_labelled_at_their_end():
    figure = memory_figure(MemoryCurve(depths=[8, 1000], bytes={"store": [10**7, 10**9], "invert": [10**7, 10**7]}))
    assert {"store  1 GB", "invert  10 MB"} <= set(texts(figure))
    store, invert = figure.axes[0].lines
    assert np.ptp(invert.get_ydata()) == 0
    assert np.ptp(store.get_ydata()) > 0
    assert store.get_color() != invert.get_color()


def test_labels_keep_their_distance_and_their_order():
    placed = spread_apart({"a": 0.5, "b": 0.01, "c": 0.02}, 0.1)
    assert sorted(placed, key=placed.__getitem__) == ["b", "c", "a"]
    assert placed["c"] - placed["b"] == pytest.approx(0.1)


@pytest.mark.parametrize(("count", "text"), [(3, "3 B"), (72e6, "72 MB"), (1.2345e9, "1.23 GB"), (0, "0 B")])
def test_bytes_are_printed_in_decimal_units(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize("validation", [None, ValidationCurve(steps=[1], ssim=[0.5], psnr=[20.0])])
def test_a_training_of_a_few_steps_can_be_drawn(validation):
    curve = TrainingCurve(steps=[1, 2], loss=[0.3, 0.2], validation=validation, zero_filled_ssim=0.4)
    for tall in (False, True):
        assert matplotlib.image.imread(io.BytesIO(png(training_figure(curve, tall=tall)))).shape[0] > 100


def test_stories_that_do_not_fit_together_are_refused():
    refusals = [
        (ShapeError, r"i-RIM is \(40, 29\)", lambda: case(reconstruction=image(shape=(40, 29)))),
        (DataError, "zero-filled or the target is NaN", lambda: case(zero_filled=np.full((40, 30), np.nan))),
        (ShapeError, r"expected \(kx,\)", lambda: case(mask=np.ones((40, 30), dtype=bool))),
        (OptionError, "metrics of U-Net: expected some of zero-filled", lambda: case(metrics={"U-Net": {}})),
        (OptionError, "both baseline and baseline_name", lambda: case(baseline=None)),
        (ShapeError, "'loss' has 1 values for 2", lambda: TrainingCurve(steps=[1, 2], loss=[0.1])),
        (ShapeError, "'invert' has 0 values for 1", lambda: MemoryCurve(depths=[1], bytes={"invert": []})),
    ]
    for kind, message, make in refusals:
        with pytest.raises(kind, match=message):
            make()


def test_provenance_names_what_a_reader_needs_to_repeat_it():
    facts = collect_provenance()
    assert {"date", "invrim", "python", "torch", "processor"} <= set(facts)
    assert all(facts.values())


def test_drawing_leaves_no_global_state_behind():
    from matplotlib import _pylab_helpers

    case_figure(report().cases[0])
    assert not _pylab_helpers.Gcf.figs
