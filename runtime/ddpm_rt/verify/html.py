"""The report of `verify` as one HTML page that needs no other file and no network."""

import base64
import io
from html import escape

from ..images.write import Pixels, pillow_image
from .comparison import StepError
from .curve import Curve, Point
from .png import GAIN, grids
from .report import Report, number

WIDTH, HEIGHT = 800, 300  # plot box without its labels
LEFT, TOP, RIGHT, BOTTOM = 60, 30, 20, 40

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #d9d9d9; --paper: #fff; --a: #0072b2; --b: #d55e00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --faint: #3c3c3c; --paper: #161616; --a: #56b4e9; --b: #f0914a; }
}
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 960px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
.grid { stroke: var(--faint); } .limit { stroke: var(--ink); stroke-dasharray: 5 5; opacity: .6; }
.broken { stroke: #d6006e; stroke-width: 2; }
.curve0, .curve1 { fill: none; stroke-width: 2; } .curve0 { stroke: var(--a); } .curve1 { stroke: var(--b); }
.images { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; } figcaption { margin-bottom: .4rem; }
img { image-rendering: pixelated; display: block; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .1rem .9rem .1rem 0; } td:last-child, .facts td, .facts th { text-align: left; }
""".strip()


def page(report: Report) -> str:
    """The report as HTML text."""
    facts = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in report.lines.items())
    shown = report.chosen()
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>ddpm-rt verify: {escape(report.engine.name)}</title>
<style>
{STYLE}
</style></head>
<body>
<h1>{escape(report.line)}</h1>
<table class="facts">{facts}</table>
<h2>Error over t</h2>
{curve_svg(Curve.of(report))}
<h2>Final images</h2>
<div class="images">{_figures(report)}</div>
<p>The difference is multiplied by {GAIN}; grey means no difference.</p>
<h2>Steps</h2>
{_table(report, shown)}
<details><summary>All {len(report.comparison.steps)} steps</summary>
{_table(report, list(report.comparison.steps))}
</details>
</body>
</html>
"""


def curve_svg(curve: Curve) -> str:
    """The curve as SVG. The stylesheet of the page sets its colours."""

    def place(point: Point) -> str:
        return f"{LEFT + point[0] * WIDTH:.1f},{TOP + point[1] * HEIGHT:.1f}"

    foot, parts = TOP + HEIGHT, []
    for down, label in curve.decades():
        y = TOP + down * HEIGHT
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for across, label in curve.times():
        parts.append(f'<text x="{LEFT + across * WIDTH:.1f}" y="{foot + 20}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="8" y="{foot + 20}">t</text>')
    if curve.limit is not None:
        y = TOP + curve.down(curve.limit) * HEIGHT
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT + WIDTH}" y="{y - 5:.1f}" text-anchor="end">tolerance</text>')
    for row in curve.broken:
        x = f"{LEFT + curve.across(row) * WIDTH:.1f}"
        parts.append(f'<line class="broken" x1="{x}" x2="{x}" y1="{TOP}" y2="{foot}"/>')
    for i, line in enumerate(curve.lines()):
        for piece in line.pieces:
            dot = [(piece[0][0] + 0.002, piece[0][1])] if len(piece) == 1 else []
            parts.append(f'<polyline class="curve{i}" points="{" ".join(map(place, piece + dot))}"/>')
        start = LEFT + 400 * i
        parts.append(f'<line class="curve{i}" x1="{start}" x2="{start + 18}" y1="12" y2="12"/>')
        parts.append(f'<text x="{start + 24}" y="16">{escape(line.label)}</text>')
    size = f"0 0 {LEFT + WIDTH + RIGHT} {foot + BOTTOM}"
    return f'<svg viewBox="{size}" role="img" aria-label="error at every step, logarithmic">{"".join(parts)}</svg>'


def _figures(report: Report) -> str:
    return "".join(
        f'<figure><figcaption>{escape(name)}</figcaption><img alt="{escape(name)}" src="{_data_uri(pixels)}"></figure>'
        for name, pixels in grids(report.comparison).items()
    )


def _data_uri(pixels: Pixels) -> str:
    file = io.BytesIO()
    pillow_image(pixels).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _table(report: Report, steps: list[StepError]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("step", "t", "out max", "out rms", "x max", "x rms", ""))
    rows = []
    for step in steps:
        cells = (step.row, step.t, *map(number, step[2:]), report.remark(step))
        rows.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
