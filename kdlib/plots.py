"""Figures on matplotlib: colours that colour-blind readers tell apart, markers that survive grey, fonts that draw Chinese."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import zhplot
from sklearn.metrics import ConfusionMatrixDisplay

# One colour and one marker a model, everywhere. Colours of Okabe & Ito (2008), told apart by every common colour vision, one of
# them (vermilion) darkened: in a print without colours any two differ by 9 or more in lightness (CIE L*, 0 to 100).
MODELS = {"teacher": ("teacher", "#000000", "D"), "student_distilled": ("student, distilled", "#0072B2", "o"),
          "student_labels_then_distilled": ("student, labels then distilled", "#8F3F00", "s"),
          "student_labels_only": ("student, labels only", "#E69F00", "^"),
          "tfidf_logistic": ("TF-IDF + logistic regression", "#009E73", "v"), "majority": ("majority class", "#404040", "x")}  # fmt: skip
NAMES = {model: name for model, (name, _, _) in MODELS.items()}
STYLES = {model: (colour, marker) for model, (_, colour, marker) in MODELS.items()}


def use_style() -> None:
    """Set the kit's look for every figure that follows; Chinese in Noto Sans SC, which the package zhplot brings."""
    zhplot.matplotlib_chineseize()
    plt.rcParams.update({"font.family": ["DejaVu Sans", "Noto Sans SC"], "axes.unicode_minus": False, "axes.grid": True,
                         "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False, "grid.alpha": 0.3,
                         "figure.dpi": 96, "figure.constrained_layout.use": True, "savefig.bbox": "tight"})  # fmt: skip


def panels(languages: Mapping[str, Any], height: float, xlabel: str, ylabel: str = "") -> tuple[plt.Figure, list[Any]]:
    """A figure with one panel a language, side by side with the same y axis, and these panels."""
    figure, axes = plt.subplots(1, len(languages), figsize=(1.5 + 3 * len(languages), height), sharey=True, squeeze=False)
    for axis, language in zip(axes[0], languages, strict=True):
        axis.set(title=language, xlabel=xlabel)
    axes[0][0].set_ylabel(ylabel)
    return figure, list(axes[0])


def accuracy_figure(languages: Mapping[str, Mapping[str, Any]]) -> plt.Figure:
    """Accuracy of every model in every language with 95 % intervals; ``languages`` as in ``metrics.json``."""
    figure, axes = panels(languages, 3.4, "test accuracy, %")
    for axis, (language, models) in zip(axes, languages.items(), strict=True):
        for row, (name, (colour, marker)) in enumerate(reversed(STYLES.items())):
            value, interval = 100 * models[name]["accuracy"], [100 * bound for bound in models[name]["accuracy_interval"]]
            axis.plot(interval, [row, row], color=colour, linewidth=2)
            axis.plot(value, row, marker, color=colour, markersize=8)
            axis.annotate(f"{value:.1f}", (value, row), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        axis.set(title=f"{language} (n = {models['data']['test']})", ylim=(-0.6, len(STYLES) - 0.3))
        axis.set_yticks(range(len(STYLES)), reversed(NAMES.values()))
    return figure


def size_figure(languages: Mapping[str, Mapping[str, Any]]) -> plt.Figure:
    """Accuracy against parameters (log scale): teacher and distilled student of every language."""
    figure, axis = plt.subplots(figsize=(5.5, 3.4))
    for language, models in languages.items():
        points = {name: (models[name]["parameters"] / 1e6, 100 * models[name]["accuracy"]) for name in ("student_distilled", "teacher")}
        axis.plot(*zip(*points.values(), strict=True), color="#777777", zorder=1)
        for name, point in points.items():
            axis.plot(*point, STYLES[name][1], color=STYLES[name][0], markersize=8)
        axis.annotate(language, points["student_distilled"], xytext=(-8, 5), textcoords="offset points", ha="right")
    axis.set(xscale="log", xlabel="parameters, millions (log scale)", ylabel="test accuracy, %", xmargin=0.15, ymargin=0.15)
    axis.legend(axis.lines[-2:], ["distilled student", "teacher"], loc="lower right")
    return figure


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> plt.Figure:
    """Validation accuracy by optimisation step: ``{language: {model: training log}}``."""
    figure, axes = panels(histories, 3, "optimisation step", "validation accuracy, %")
    for axis, logs in zip(axes, histories.values(), strict=True):
        for name, log in logs.items():
            points = [(entry["step"], 100 * entry["eval_accuracy"]) for entry in log if "eval_accuracy" in entry]
            axis.plot(*zip(*points, strict=True), color=STYLES[name][0], marker=STYLES[name][1], label=NAMES[name])
    axes[-1].legend(fontsize=8)
    return figure


def confusion_figure(languages: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> plt.Figure:
    """Confusion counts of the teacher (above) and of the distilled student (below) in every language."""
    figure, axes = plt.subplots(2, len(languages), figsize=(0.8 + 2.6 * len(languages), 5), squeeze=False)
    for (row, column), axis in np.ndenumerate(axes):
        language, model = list(languages)[column], ("teacher", "student_distilled")[row]
        counts = np.array(languages[language][model]["confusion"])
        ConfusionMatrixDisplay(counts, display_labels=names).plot(ax=axis, cmap="Blues", colorbar=False, im_kw={"vmin": 0})
        axis.set(title=f"{language}, {NAMES[model]}", xlabel="predicted", ylabel="label")
        axis.tick_params(labelsize=8)
        axis.grid(False)
    return figure


def calibration_figure(languages: Mapping[str, Mapping[str, Any]]) -> plt.Figure:
    """Reliability diagram: accuracy against mean confidence, in bins of equal width (Guo et al. 2017, §2)."""
    figure, axes = panels(languages, 3, "confidence, %", "accuracy, %")
    for axis, models in zip(axes, languages.values(), strict=True):
        axis.plot([50, 100], [50, 100], color="#999999", linestyle=":", label="perfectly calibrated")
        for name in ("teacher", "student_distilled", "student_labels_only"):
            points = [(100 * b["confidence"], 100 * b["accuracy"]) for b in models[name]["reliability"]]
            label = f"{NAMES[name]}, ECE {models[name]['expected_calibration_error']:.3f}"
            axis.plot(*zip(*points, strict=True), color=STYLES[name][0], marker=STYLES[name][1], label=label)
        axis.legend(fontsize=6, loc="upper left")
    return figure


def phenomena_figure(phenomena: Mapping[str, Mapping[str, Mapping[str, float]]]) -> plt.Figure:
    """Accuracy by phenomenon on the diagnostic corpus: ``{language: {phenomenon: {model: accuracy}}}``."""
    figure, axes = panels(phenomena, 4, "accuracy, %")
    for axis, rows in zip(axes, phenomena.values(), strict=True):
        for name in ("teacher", "student_distilled", "student_labels_only"):
            (colour, marker), shares = STYLES[name], [100 * row[name] for row in rows.values()]
            axis.plot(shares, range(len(rows)), marker, color=colour, alpha=0.8, label=NAMES[name])
        named = [f"{phenomenon.replace('_', ' ')} ({row['n']:.0f})" for phenomenon, row in rows.items()]
        axis.set(yticks=range(len(rows)), yticklabels=named, xlim=(-5, 105))
        axis.axvline(50, color="#999999", linestyle=":")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure
