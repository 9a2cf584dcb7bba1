"""The chart for the README: requests/s of each peer over the baseline's, as horizontal bars.

`python -m benchmarks.chart results/latest.json out.svg`. SVG is written by hand, not by a
plotting library: some thirty lines, no dependency, and a style sheet that follows the reader's light or dark
mode, which such libraries cannot write.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from .loads import LOADS
from .results import Results, Spread, load_results

OWN = "qantara"
WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 720, 130, 150, 64, 30, 18
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #59636e; font-size: 12px }
.own { fill: #0a7f68 } .other { fill: #8c959f } .whisker { stroke: #1f2328; stroke-width: 1.5 }
.one { stroke: #59636e; stroke-dasharray: 3 3 }
text.name { fill: #1f2328 } text.own { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text, text.name { fill: #e6edf3 } .quiet { fill: #9198a1 } .own { fill: #2cc7a5 } .other { fill: #6e7681 }
  .whisker { stroke: #e6edf3 } .one { stroke: #9198a1 }
}
"""


def draw(results: Results, load: str = "small") -> str:
    """Return the SVG: bars are medians over the rounds, lines across them the lowest and highest round."""
    rows = ranked(results, load)
    scale = (WIDTH - LEFT - RIGHT) / max([1.0, *(ratio.high for _, ratio, _ in rows)])
    bottom = TOP + ROW * len(rows)
    title = f"Requests per second on one core, {results.baseline} = 1"
    foot = f"{results.machine['cpu']}; {results.started[:10]}; median of the rounds, line: lowest to highest"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 34}" role="img">',
            f"<style>{STYLE}</style>",
            f'<text class="title" x="12" y="24">{escape(title)}</text>',
            f'<text class="quiet" x="12" y="44">{escape(LOADS[load].what)}; access logs off</text>',
            *(bar(TOP + ROW * index, scale, *row) for index, row in enumerate(rows)),
            f'<path class="one" d="M{LEFT + scale:.1f} {TOP - 6}V{bottom - 6}"/>',
            f'<text class="quiet" x="12" y="{bottom + 18}">{escape(foot)}</text>',
            "</svg>\n",
        ]
    )


def ranked(results: Results, load: str) -> list[tuple[str, Spread, float]]:
    """Return peer, ratio and requests/s, the fastest first; without those that were not measured."""
    ratios = [(peer, results.ratio(load, peer, "rate")) for peer in results.peers]
    rates = {peer: results.spread(load, peer, "rate") for peer in results.peers}
    rows = [(peer, ratio, rate.median) for peer, ratio in ratios if ratio and (rate := rates[peer])]
    return sorted(rows, key=lambda row: row[1].median, reverse=True)


def bar(y: int, scale: float, peer: str, ratio: Spread, rate: float) -> str:
    kind = "own" if peer == OWN else "other"
    low, high = LEFT + ratio.low * scale, LEFT + ratio.high * scale
    return (
        f'<text class="name {kind}" x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(peer)}</text>'
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{ratio.median * scale:.1f}" height="{BAR}" rx="2"/>'
        f'<path class="whisker" d="M{low:.1f} {y + BAR / 2}H{high:.1f}"/>'
        f'<text x="{high + 8:.1f}" y="{y + 14}">{ratio.median:.2f}'
        f'<tspan class="quiet" dx="8">{rate:,.0f}/s</tspan></text>'
    )


def main() -> None:
    source, target = map(Path, sys.argv[1:3])
    target.write_text(draw(load_results(source)))


if __name__ == "__main__":
    main()
