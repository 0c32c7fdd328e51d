"""Small line charts as one SVG, readable on light and on dark pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = 3
WIDTH, HEIGHT = 300, 212
LEFT, RIGHT, TOP, BOTTOM = 48, 22, 46, 40

_STYLE = """
text { font: 11px system-ui, sans-serif; fill: #444 }
.title { font-weight: 600; font-size: 12px; fill: #222 }
.grid { stroke: #8884; fill: none }
.line { stroke: #0b6bcb; stroke-width: 2; fill: none }
.dot { fill: #0b6bcb }
@media (prefers-color-scheme: dark) {
  text { fill: #bbb } .title { fill: #eee }
  .line { stroke: #6cb6ff } .dot { fill: #6cb6ff }
}
"""


@dataclass(frozen=True)
class Panel:
    """One chart: sizes on a logarithmic axis, costs on a linear one that begins at 0."""

    title: str
    sizes: str
    costs: str
    points: Sequence[tuple[float, float]]
    is_logarithmic: bool = True


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _draw(panel: Panel) -> list[str]:
    def along(size: float) -> float:
        return math.log10(size) if panel.is_logarithmic else size

    low, high = along(panel.points[0][0]), along(panel.points[-1][0])
    top = _round_up(1.1 * max(cost for _, cost in panel.points))
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(size: float) -> float:
        return LEFT + inner_width * (along(size) - low) / ((high - low) or 1)

    def y(cost: float) -> float:
        return TOP + inner_height * (1 - cost / top)

    drawn = [f'<text class="title" x="{LEFT}" y="18">{escape(panel.title)}</text>']
    for share in (0, 0.5, 1):
        height = y(top * share)
        drawn += [
            f'<path class="grid" d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}"/>',
            f'<text x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{top * share:g}</text>',
        ]
    named = panel.points if panel.is_logarithmic else [panel.points[0], panel.points[-1]]
    drawn += [
        f'<text x="{x(size):.1f}" y="{HEIGHT - 24}" text-anchor="middle">{_short(size)}</text>'
        for size, _ in named
    ]
    middle = LEFT + inner_width / 2
    drawn.append(
        f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(panel.sizes)}</text>'
    )
    drawn.append(f'<text x="{LEFT}" y="33">{escape(panel.costs)}</text>')
    path = "L".join(f"{x(size):.1f} {y(cost):.1f}" for size, cost in panel.points)
    drawn.append(f'<path class="line" d="M{path}"/>')
    drawn += [
        f'<circle class="dot" cx="{x(size):.1f}" cy="{y(cost):.1f}" r="3"/>'
        for size, cost in panel.points
    ]
    return drawn


def _short(size: float) -> str:
    if size >= 1e6:
        return f"{size / 1e6:g}M"
    return f"{size / 1e3:g}k" if size >= 1e3 else f"{size:g}"


def svg(panels: Sequence[Panel]) -> str:
    """Draw the panels in rows."""
    width = WIDTH * min(COLUMNS, len(panels))
    height = HEIGHT * math.ceil(len(panels) / COLUMNS)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
        f"<style>{_STYLE}</style>",
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        lines.append(f'<g transform="translate({column * WIDTH} {row * HEIGHT})">')
        lines += _draw(panel)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])
