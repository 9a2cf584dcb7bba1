"""The 99th percentile over the load, one plot for each number of proxies, as SVG and PNG.

Law of this file: matplotlib, of the extra `bench`, is imported when a plot is asked for and not before.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .tables import OWN, Cell, Situation

HIGHEST = 1000.0
"""Milliseconds; what is above leaves the picture: else one bad policy flattens all the others."""


def draw(results: dict[Situation, list[Cell]], folder: Path, scenario: str = "S1") -> list[Path]:
    """Draw what there is of a scenario. Returns the files."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for proxies in sorted({at.proxies for at in results if at.scenario == scenario}):
        figure = Figure(figsize=(9.5, 5), layout="constrained")
        axes = figure.subplots()
        axes.set_prop_cycle(color=colormaps["tab20"].colors)
        curves(axes, {at.level: cells for at, cells in results.items() if at[0] == scenario and at.proxies == proxies})
        axes.set(xlabel="load, as a multiple of what is allotted", ylabel="p99, ms", ylim=(150, HIGHEST), yscale="log")
        axes.set_yticks([200, 250, 300, 400, 500, 700, 1000], labels=["200", "250", "300", "400", "500", "700", "1000"])
        axes.set_title(f"{scenario}: {proxies} prox{'y' if proxies == 1 else 'ies'}, 100 backends")
        axes.grid(alpha=0.3)
        axes.tick_params(which="minor", labelleft=False)
        figure.legend(fontsize="small", loc="outside right upper")
        for suffix in ("svg", "png"):
            written.append(folder / f"simulation-{scenario.lower()}-{proxies}.{suffix}")
            figure.savefig(written[-1], dpi=110, metadata={"Date": None} if suffix == "svg" else None)
    return written


def curves(axes: Any, levels: dict[float, list[Cell]]) -> None:
    """One line per policy: the median over seeds; the band is from the least to the greatest."""
    for policy in names(levels.values()):
        points = [
            (level, cell.spread("p99"))
            for level, cells in sorted(levels.items())
            for cell in cells
            if cell.policy == policy
        ]
        x = [level for level, _ in points]
        own = policy.startswith(OWN)
        (line,) = axes.plot(x, [spread.median for _, spread in points], label=policy, linewidth=2.5 if own else 1.2)
        if policy == "oracle":
            line.set(color="black", linestyle="--")
        axes.fill_between(
            x, [each.low for _, each in points], [each.high for _, each in points], color=line.get_color(), alpha=0.12
        )


def names(tables: Iterable[list[Cell]]) -> list[str]:
    return list(dict.fromkeys(cell.policy for cells in tables for cell in cells))
