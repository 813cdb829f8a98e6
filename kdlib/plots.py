"""Figures on matplotlib: colours that colour-blind readers tell apart, markers that survive grey, fonts that draw Chinese."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

# Okabe & Ito (2008), told apart by every common colour vision; one colour and one marker a model, everywhere.
STYLES = {
    "teacher": ("#000000", "D"),
    "student_distilled": ("#0072B2", "o"),
    "student_labels_then_distilled": ("#56B4E9", "s"),
    "student_labels_only": ("#E69F00", "^"),
    "tfidf_logistic": ("#009E73", "v"),
    "majority": ("#999999", "x"),
}
NAMES = {
    "teacher": "teacher",
    "student_distilled": "student, distilled",
    "student_labels_then_distilled": "student, labels then distilled",
    "student_labels_only": "student, labels only",
    "tfidf_logistic": "TF-IDF + logistic regression",
    "majority": "majority class",
}
CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC", "Hiragino Sans GB",
    "Heiti SC", "Microsoft YaHei", "SimHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Arial Unicode MS", "Droid Sans Fallback",
)  # fmt: skip


def chinese_font() -> str | None:
    """The first installed font that draws Chinese, ``None`` where there is none (``kdlib doctor`` says what to install)."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CHINESE_FONTS if name in installed), None)


def use_style() -> None:
    """Set the kit's look for every figure that follows."""
    fonts = [name for name in (chinese_font(), "DejaVu Sans") if name]
    matplotlib.rcParams.update(
        {"font.family": fonts, "axes.unicode_minus": False, "figure.dpi": 110, "savefig.bbox": "tight", "axes.grid": True,
         "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True}
    )  # fmt: skip


def accuracy_figure(languages: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Accuracy of every model in every language with 95 % intervals; ``languages`` as in ``metrics.json``."""
    figure, axes = plt.subplots(1, len(languages), figsize=(1.5 + 3.2 * len(languages), 3.4), sharey=True, squeeze=False)
    for axis, (language, models) in zip(axes[0], languages.items(), strict=True):
        for row, (name, (colour, marker)) in enumerate(reversed(STYLES.items())):
            low, high = models[name]["accuracy_interval"]
            value = models[name]["accuracy"]
            axis.plot([100 * low, 100 * high], [row, row], color=colour, linewidth=2)
            axis.plot(100 * value, row, marker, color=colour, markersize=8)
            axis.annotate(f"{100 * value:.1f}", (100 * value, row), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        axis.set(title=f"{language} (n = {models['data']['test']})", xlabel="test accuracy, %")
        axis.set_yticks(range(len(STYLES)), [NAMES[name] for name in reversed(STYLES)])
        axis.set_ylim(-0.6, len(STYLES) - 0.3)
    return figure


def size_figure(languages: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Accuracy against parameters (log scale): teacher and distilled student of every language."""
    figure, axis = plt.subplots(figsize=(5.5, 3.4))
    for (language, models), line in zip(languages.items(), ("-", "--", ":", "-.") * 8, strict=False):
        points = [models[name] for name in ("student_distilled", "teacher")]
        millions = [point["parameters"] / 1e6 for point in points]
        axis.plot(millions, [100 * point["accuracy"] for point in points], line, color="#777777", zorder=1)
        for name, size in zip(("student_distilled", "teacher"), millions, strict=True):
            axis.plot(size, 100 * models[name]["accuracy"], STYLES[name][1], color=STYLES[name][0], markersize=8)
        axis.annotate(language, (millions[0], 100 * points[0]["accuracy"]), xytext=(-8, 5), textcoords="offset points", ha="right")
    axis.set(xscale="log", xlabel="parameters, millions (log scale)", ylabel="test accuracy, %")
    axis.margins(0.15)
    handles = [plt.Line2D([], [], color=STYLES[n][0], marker=STYLES[n][1], linestyle="") for n in ("teacher", "student_distilled")]
    axis.legend(handles, ["teacher", "distilled student"], loc="lower right")
    return figure


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> Figure:
    """Validation accuracy by optimisation step: ``{language: {model: training log}}``."""
    figure, axes = plt.subplots(1, len(histories), figsize=(1 + 3.2 * len(histories), 3), sharey=True, squeeze=False)
    for axis, (language, logs) in zip(axes[0], histories.items(), strict=True):
        for name, log in logs.items():
            points = [(entry["step"], 100 * entry["eval_accuracy"]) for entry in log if "eval_accuracy" in entry]
            colour, marker = STYLES[name]
            axis.plot(*zip(*points, strict=True), color=colour, marker=marker, label=NAMES[name])
        axis.set(title=language, xlabel="optimisation step")
    axes[0, 0].set_ylabel("validation accuracy, %")
    axes[0, -1].legend(fontsize=8)
    return figure


def confusion_figure(languages: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Figure:
    """Confusion counts of the teacher (above) and of the distilled student (below) in every language."""
    figure, axes = plt.subplots(2, len(languages), figsize=(0.8 + 2.6 * len(languages), 5), squeeze=False)
    for column, (language, models) in enumerate(languages.items()):
        for row, model in enumerate(("teacher", "student_distilled")):
            counts, axis = np.array(models[model]["confusion"]), axes[row, column]
            axis.imshow(counts, cmap="Blues", vmin=0)
            axis.grid(False)
            for (i, j), count in np.ndenumerate(counts):
                axis.text(j, i, count, ha="center", va="center", color="white" if count > counts.max() / 2 else "black")
            axis.set_xticks(range(len(names)), names, fontsize=8)
            axis.set_yticks(range(len(names)), names, fontsize=8, rotation=90, va="center")
            axis.set(title=f"{language}, {NAMES[model]}", xlabel="predicted", ylabel="label")
    return figure


def calibration_figure(languages: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Reliability diagram: accuracy against mean confidence, in bins of equal width (Guo et al. 2017, §2)."""
    figure, axes = plt.subplots(1, len(languages), figsize=(1 + 3 * len(languages), 3), sharey=True, squeeze=False)
    for axis, (language, models) in zip(axes[0], languages.items(), strict=True):
        axis.plot([50, 100], [50, 100], color="#999999", linestyle=":", label="perfectly calibrated")
        for name in ("teacher", "student_distilled", "student_labels_only"):
            bins = models[name]["reliability"]
            colour, marker = STYLES[name]
            label = f"{NAMES[name]}, ECE {models[name]['expected_calibration_error']:.3f}"
            axis.plot([100 * b["confidence"] for b in bins], [100 * b["accuracy"] for b in bins], color=colour, marker=marker, label=label)
        axis.set(title=language, xlabel="confidence, %")
        axis.legend(fontsize=6, loc="upper left")
    axes[0, 0].set_ylabel("accuracy, %")
    return figure


def phenomena_figure(phenomena: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Accuracy by phenomenon on the diagnostic corpus: ``{language: {phenomenon: {model: accuracy}}}``."""
    figure, axes = plt.subplots(1, len(phenomena), figsize=(1.5 + 3 * len(phenomena), 4), sharey=True, squeeze=False)
    for axis, (language, rows) in zip(axes[0], phenomena.items(), strict=True):
        for name in ("teacher", "student_distilled", "student_labels_only"):
            colour, marker = STYLES[name]
            axis.plot([100 * row[name] for row in rows.values()], range(len(rows)), marker, color=colour, alpha=0.8, label=NAMES[name])
        axis.set_yticks(range(len(rows)), [f"{phenomenon} ({row['n']:.0f})" for phenomenon, row in rows.items()])
        axis.axvline(50, color="#999999", linestyle=":")
        axis.set(title=language, xlabel="accuracy, %", xlim=(-5, 105))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure
