"""Every figure shows the figures it is given, with labelled axes, in colours and markers that can be told apart."""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up import CLASSES, language_figures
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from kdlib import plots
from kdlib.plots import NAMES, STYLES

LANGUAGES = {code: language_figures(seed=seed) for seed, code in enumerate(("zh", "en", "fr"))}
LOG: Any = [{"step": 5}, {"step": 10, "eval_accuracy": 0.6}, {"step": 20, "loss": 0.5}, {"step": 20, "eval_accuracy": 0.7}]
HISTORIES = {code: {name: LOG for name in NAMES if "student" in name} for code in LANGUAGES}
PHENOMENA = {code: models["phenomena"] for code, models in LANGUAGES.items()}
FIGURES = {
    "accuracy": (plots.accuracy_figure, (LANGUAGES,)),
    "size": (plots.size_figure, (LANGUAGES,)),
    "learning": (plots.learning_curves, (HISTORIES,)),
    "confusion": (plots.confusion_figure, (LANGUAGES, CLASSES)),
    "calibration": (plots.calibration_figure, (LANGUAGES,)),
    "phenomena": (plots.phenomena_figure, (PHENOMENA,)),
}


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    """The kit's style, as in the report; neither style nor open figures outlive a test."""
    with matplotlib.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def draw(name: str, languages: list[str] | None = None) -> Figure:
    function, (first, *rest) = FIGURES[name]
    return function({code: first[code] for code in languages or first}, *rest)


def titles(figure: Figure) -> list[str]:
    return [axis.get_title() for axis in figure.axes]


def points(axis: Any, colour: str) -> list[tuple[float, float]]:
    """What is drawn with a marker in that colour."""
    lines = [line for line in axis.lines if line.get_color() == colour and line.get_marker() not in ("None", None, "")]
    return [point for line in lines for point in zip(line.get_xdata(), line.get_ydata(), strict=True)]


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("languages", [["en"], ["zh", "en", "fr"]])
def test_a_figure_has_labelled_axes_and_is_drawn_without_a_warning(name: str, languages: list[str]) -> None:
    figure = draw(name, languages)
    assert isinstance(figure, Figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # glyphs that are missing, layouts that collapse
        figure.canvas.draw()
    for axis in figure.axes:
        assert axis.get_xlabel()
        left = figure.axes[0] if axis.get_shared_y_axes().joined(axis, figure.axes[0]) else axis
        words = [label.get_text() for label in left.get_yticklabels() if label.get_text().strip("−0123456789.%")]
        assert left.get_ylabel() or words, "what does the y axis show?"


@pytest.mark.parametrize("name", sorted(FIGURES.keys() - {"size"}))
def test_every_language_has_its_own_axes(name: str) -> None:
    found = titles(draw(name))
    assert len(found) == (6 if name == "confusion" else 3)
    for title, code in zip(found, itertools.cycle(LANGUAGES), strict=False):
        assert title.startswith(code)


def test_accuracy_and_its_interval_are_where_they_belong() -> None:
    axis = draw("accuracy", ["fr"]).axes[0]
    ticks = {label.get_text(): row for row, label in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)}
    assert set(ticks) == set(NAMES.values())
    for name, (colour, marker) in STYLES.items():
        figures = LANGUAGES["fr"][name]
        assert points(axis, colour) == [(pytest.approx(100 * figures["accuracy"]), ticks[NAMES[name]])]
        (bar,) = [line for line in axis.lines if line.get_color() == colour and line.get_marker() == "None"]
        assert list(bar.get_xdata()) == pytest.approx([100 * bound for bound in figures["accuracy_interval"]])
        assert marker in [line.get_marker() for line in axis.lines if line.get_color() == colour]
    assert "n = 200" in axis.get_title()


def test_size_is_in_millions_on_a_log_scale() -> None:
    axis = draw("size").axes[0]
    assert axis.get_xscale() == "log"
    for name in ("teacher", "student_distilled"):
        found = points(axis, STYLES[name][0])
        expected = [(models[name]["parameters"] / 1e6, 100 * models[name]["accuracy"]) for models in LANGUAGES.values()]
        assert np.array(sorted(found)) == pytest.approx(np.array(sorted(expected)))
    assert [text.get_text() for text in axis.texts] == list(LANGUAGES)
    handles = zip(axis.get_legend().legend_handles, axis.get_legend().get_texts(), strict=True)
    assert {text.get_text(): handle.get_color() for handle, text in handles} == {
        "teacher": STYLES["teacher"][0], "distilled student": STYLES["student_distilled"][0],
    }  # fmt: skip


def test_learning_curves_keep_only_the_validation_scores() -> None:
    figure = draw("learning")
    for axis in figure.axes:
        assert len(axis.lines) == 3
        for name in HISTORIES["en"]:
            assert points(axis, STYLES[name][0]) == [(10, 60), (20, 70)]
    assert {text.get_text() for text in figure.axes[-1].get_legend().get_texts()} == {NAMES[name] for name in HISTORIES["en"]}


def test_confusion_counts_stand_in_their_cells() -> None:
    figure = draw("confusion", ["zh", "en"])
    for axis, (model, code) in zip(figure.axes, itertools.product(("teacher", "student_distilled"), ("zh", "en")), strict=True):
        found = {(int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text()) for text in axis.texts}
        counts = LANGUAGES[code][model]["confusion"]
        assert found == {(i, j): counts[i][j] for i in range(2) for j in range(2)}
        assert axis.get_title() == f"{code}, {NAMES[model]}"
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "label")
        assert [label.get_text() for label in axis.get_xticklabels()] == CLASSES


def test_calibration_shows_every_bin() -> None:
    axis = draw("calibration", ["en"]).axes[0]
    for name in ("teacher", "student_distilled", "student_labels_only"):
        bins = LANGUAGES["en"][name]["reliability"]
        assert points(axis, STYLES[name][0]) == [pytest.approx((100 * b["confidence"], 100 * b["accuracy"])) for b in bins]
    diagonal = axis.lines[0]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    error = LANGUAGES["en"]["teacher"]["expected_calibration_error"]
    assert f"teacher, ECE {error:.3f}" in [text.get_text() for text in axis.get_legend().get_texts()]


def test_phenomena_stand_in_rows_with_their_counts() -> None:
    axis = draw("phenomena", ["zh"]).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["all (88)", "irony (12)", "negation (10)"]
    for name in ("teacher", "student_distilled", "student_labels_only"):
        expected = [(100 * row[name], y) for y, row in enumerate(PHENOMENA["zh"].values())]
        assert points(axis, STYLES[name][0]) == [pytest.approx(pair) for pair in expected]


# --- colours, markers, fonts ------------------------------------------------------------------------------


def lightness(colour: str) -> float:
    """CIE L*, 0 (black) to 100 (white): what is left of a colour in grey."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_every_model_has_a_name_and_a_style_of_its_own() -> None:
    assert list(STYLES) == list(NAMES)
    colours, markers = zip(*STYLES.values(), strict=True)
    assert len({to_rgb(colour) for colour in colours}) == len(set(markers)) == len(set(NAMES.values())) == len(STYLES)


def test_every_model_stands_out_from_white_paper() -> None:
    assert all(lightness(colour) < 75 for colour, _ in STYLES.values())


def test_models_drawn_in_one_cloud_differ_in_grey() -> None:
    shades = sorted(lightness(STYLES[name][0]) for name in ("teacher", "student_distilled", "student_labels_only"))
    assert min(np.diff(shades)) > 20


def test_any_two_models_differ_in_grey() -> None:
    """The accuracy figure draws all of them."""
    shades = sorted(lightness(colour) for colour, _ in STYLES.values())
    assert min(np.diff(shades)) >= 8


def test_chinese_is_drawn_on_a_machine_without_a_font_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib warns of every glyph that it lacks; what stands in the signs must be Chinese, not a row of boxes."""
    own = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    plots.use_style()
    figure, axis = plt.subplots()
    axis.set_title("蒸馏：老师与学生, élève, ∂ℓ/∂z = σ(z) − y")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure.canvas.draw()
    assert not said
