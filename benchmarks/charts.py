"""Draw the charts as SVG. Text and axes have the colour of the page's text, light or dark."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from benchmarks.group import HAND, OPEN, RUNTIME, SCOPE, STACK
from benchmarks.starts import COLD, OFF, WARM

if TYPE_CHECKING:
    from pathlib import Path

mpl.use("svg")
from matplotlib import pyplot as plt  # after the choice of the backend

_INK = "#010203"  # a placeholder: `_write` replaces it by the colour of the page's text
_COLOURS = {
    HAND: "#8a8f98",
    OPEN: "#2f9e6e",
    RUNTIME: "#4c8dd6",
    STACK: "#d9822b",
    SCOPE: "#a56fd0",
}
_CACHES = {HAND: "#8a8f98", WARM: "#2f9e6e", COLD: "#4c8dd6", OFF: "#d9822b"}
_STYLE = (
    "<style>svg{color:#1f2328;font-family:system-ui,sans-serif}"
    "@media (prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"
)
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "godefer",
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "font.size": 10,
}


def costs(ratios: dict[str, dict[str, float]], title: str, path: Path) -> None:
    """Draw bars: group -> way -> its cost as a multiple of the code by hand."""
    with mpl.rc_context(_SETTINGS):
        colours = {way: colour for way, colour in _COLOURS.items() if way != HAND}
        figure, axes = _bars(ratios, colours, title)
        axes.axvline(1, color=_INK, linewidth=1)
        axes.set_xticks([1, 2, 5, 10, 20, 50], labels=["by hand = 1", "2", "5", "10", "20", "50"])
        axes.set_xlim(0.5, max(v for of in ratios.values() for v in of.values()) * 1.5)
        _write(figure, path)


def starts(times: dict[str, dict[str, float]], title: str, path: Path) -> None:
    """Draw bars: program -> way -> milliseconds from its start to its end."""
    with mpl.rc_context(_SETTINGS):
        figure, axes = _bars(times, _CACHES, title)
        ticks = [10, 20, 50, 100, 200, 500, 1000]
        axes.set_xticks(ticks, labels=[f"{tick} ms" for tick in ticks])
        every = [value for of in times.values() for value in of.values()]
        axes.set_xlim(min(every) / 1.5, max(every) * 1.5)
        _write(figure, path)


def _bars(
    values: dict[str, dict[str, float]], colours: dict[str, str], title: str
) -> tuple[Any, Any]:
    """Draw a row of bars for each group, one for each of its ways, on a logarithmic axis."""
    ways = [way for way in colours if any(way in of for of in values.values())]
    height = 0.8 / len(ways)
    figure, axes = plt.subplots(figsize=(8, (0.14 * len(ways) + 0.06) * len(values) + 1.2))
    for i, way in enumerate(ways):
        bars = [(at, of[way]) for at, of in enumerate(values.values()) if way in of]
        at = [row + (i - (len(ways) - 1) / 2) * height for row, _ in bars]
        axes.barh(at, [value for _, value in bars], height * 0.9, color=colours[way], label=way)
        for y, (_, value) in zip(at, bars, strict=True):
            axes.annotate(
                _short(value),
                (value, y),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_yticks(range(len(values)), labels=list(values))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=11)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.04), ncols=len(ways))
    return figure, axes


def growth(found: dict[str, dict[str, list[tuple[int, float]]]], title: str, path: Path) -> None:
    """Draw lines: the growth of time and memory."""
    labels = {
        "defers": ("calls that one function defers", "microseconds", 1e6),
        "depth": ("decorated functions in each other", "microseconds", 1e6),
        "pending": ("pending calls", "kilobytes", 1e-3),
    }
    with mpl.rc_context(_SETTINGS):
        figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
        for axes, (what, (x, y, unit)) in zip(panels, labels.items(), strict=True):
            for way, points in found[what].items():
                values = [value * unit for _, value in points]
                sizes = [size for size, _ in points]
                axes.loglog(
                    sizes, values, "o-", color=_COLOURS[way], markersize=3, linewidth=1.5, label=way
                )
            axes.set_xlabel(x)
            axes.set_title(y, loc="left", fontsize=9)
            axes.minorticks_off()
            axes.grid(color=_INK, alpha=0.15, linewidth=0.5)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
        _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    text = io.StringIO()
    figure.savefig(
        text,
        format="svg",
        transparent=True,
        bbox_inches="tight",
        metadata={"Date": None, "Creator": None},
    )
    plt.close(figure)
    svg = text.getvalue().replace(_INK, "currentColor")
    # Drop the font family from each text: _STYLE sets the page's.
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"(<svg [^>]*>)", lambda found: found[1] + _STYLE, svg, count=1)
    path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
