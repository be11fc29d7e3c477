#!/usr/bin/env python3
"""Draws the roofline of one machine: what its memory and its arithmetic allow, and where the products are.

    read --benchmark_out=read.json; gemv --benchmark_out=gemv.json; gemm --benchmark_out=gemm.json
    roofline.py read.json gemv.json gemm.json --output docs/roofline.svg

Across: multiply-adds for each packed byte that is read (scales included), which is 8 / bits a weight for one token and
n times that for n. Up: multiply-adds a second. A slanted roof is a read bandwidth (`read`: DRAM, L3, L2), the level one
is the dot-product peak; a product can't be above the roof of the memory that it reads from. One panel for one thread,
one for all. Standard library only.
"""
import argparse
import html
import json
import math
import re
import sys

WIDTH, PANEL, HEIGHT = 1180, 560, 560
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 64, 118
ROOFS = (("read/dram", "DRAM", "below"), ("read/l3", "L3", "below"), ("read/l2", "L2", "above"))
COLORS = {"ternary5": "#0072b2", "ternary3": "#e69f00", "ternary2": "#d55e00", "int4": "#009e73", "int8": "#cc79a7", "mixed": "#7a5230", "bf16": "#555555", "int2-3": "#56b4e9"}
SHAPES = {"gemv dram": "circle", "gemv hot": "square", "gemm": "triangle"}


def read_reports(paths):
    entries, context = [], {}
    for path in paths:
        with open(path) as file:
            report = json.load(file)
        context = report["context"]
        entries += [e for e in report["benchmarks"] if not e.get("error_occurred")]
    return entries, context


def roofs(entries, threads):
    """(label, side of it, bytes a second), and the peak in multiply-adds a second (None where it was not measured). A roof
    is the best of its passes: what was reached once can be reached."""
    by_name = {e["name"]: e for e in entries}
    bandwidths = []
    for prefix, label, side in ROOFS:
        entry = by_name.get(f"{prefix}/threads:{threads}")
        if entry:
            bandwidths.append((label, side, entry["best"]))
    peak = by_name.get(f"dot_product/threads:{threads}")
    return bandwidths, peak and peak["best"]


def code_of(format_name):
    if "+" in format_name:
        return "mixed"
    code = re.sub(r"[zm]?_.*", "", format_name)
    return "int2-3" if code in ("int2", "int3") else code


def points(entries, threads, kernel, shapes):
    """One point for each product: where it lies, how it looks, what it is."""
    found = []
    for entry in entries:
        parts = entry["name"].split("/")
        if parts[0] not in ("gemv", "gemm") or parts[-1] != f"threads:{threads}" or parts[2] != kernel:
            continue
        if shapes and parts[3] not in shapes:
            continue
        if parts[1] == "sparse":  # its zeros are no multiply-adds
            continue
        tokens = int(parts[4].split(":")[1]) if parts[0] == "gemm" else 1
        found.append(
            {
                "x": tokens * 8 / entry["bits/weight"],
                "y": entry["weights/s"],
                "code": code_of(parts[1]),
                "kind": "gemm" if parts[0] == "gemm" else f"gemv {parts[4]}",
                "name": entry["name"],
            }
        )
    return found


class Axes:
    """Logarithmic in both directions; pixels from data."""

    def __init__(self, left, x_range, y_range):
        self.left, self.right = left + LEFT, left + PANEL - RIGHT
        self.top, self.bottom = TOP, HEIGHT - BOTTOM
        self.x_range, self.y_range = x_range, y_range

    def x(self, value):
        low, high = self.x_range
        return self.left + math.log(value / low) / math.log(high / low) * (self.right - self.left)

    def y(self, value):
        low, high = self.y_range
        return self.bottom - math.log(value / low) / math.log(high / low) * (self.bottom - self.top)


def text(x, y, content, size=12, anchor="start", color="#222", extra=""):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}" {extra}>'
        f"{html.escape(content)}</text>"
    )


def line(x1, y1, x2, y2, color, width=1.0, extra=""):
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
        f'stroke-width="{width}" {extra}/>'
    )


def marker(kind, x, y, color, title=""):
    inner = f"<title>{html.escape(title)}</title>"
    style = f'fill="{color}" fill-opacity="0.75" stroke="white" stroke-width="0.8"'
    shape = SHAPES[kind]
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" {style}>{inner}</circle>'
    if shape == "square":
        return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" {style}>{inner}</rect>'
    corners = f"{x:.1f},{y - 6:.1f} {x - 5.5:.1f},{y + 4.5:.1f} {x + 5.5:.1f},{y + 4.5:.1f}"
    return f'<polygon points="{corners}" {style}>{inner}</polygon>'


def grid(axes):
    out = []
    low, high = axes.x_range
    power = math.ceil(math.log2(low))
    while 2**power <= high:
        if power % 2 == 0:
            x = axes.x(2.0**power)
            label = str(2**power) if power >= 0 else f"1/{2**-power}"
            out += [line(x, axes.top, x, axes.bottom, "#e4e4e4"), text(x, axes.bottom + 17, label, 11, "middle")]
        power += 1
    for decade in range(8, 14):
        for digit in (1, 2, 5):
            value = digit * 10.0**decade
            if not axes.y_range[0] <= value <= axes.y_range[1]:
                continue
            y = axes.y(value)
            out += [line(axes.left, y, axes.right, y, "#e4e4e4"), text(axes.left - 6, y + 4, f"{value / 1e9:g}", 11, "end")]
    frame = f'x="{axes.left}" y="{axes.top}" width="{axes.right - axes.left}" height="{axes.bottom - axes.top}"'
    return [*out, f'<rect {frame} fill="none" stroke="#999"/>']


def roof_lines(axes, bandwidths, peak):
    """Each bandwidth until it meets the peak; labels lie along the lines, low, where few points are."""
    out = []
    top = min(peak or axes.y_range[1], axes.y_range[1])
    for label, side, rate in bandwidths:
        start = max(axes.x_range[0], axes.y_range[0] / rate)
        end = min(axes.x_range[1], top / rate)
        if start >= end:
            continue
        x1, y1, x2, y2 = axes.x(start), axes.y(start * rate), axes.x(end), axes.y(end * rate)
        angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
        out.append(line(x1, y1, x2, y2, "#333", 1.6))
        across = -5 if side == "above" else 14  # pixels from the line, at right angles to it
        slope = (y2 - y1) / (x2 - x1)
        length = math.hypot(1, slope)
        at_x, at_y = x1 + 14 - across * slope / length, y1 + 14 * slope + across / length
        turn = f'transform="rotate({angle:.1f} {at_x:.1f} {at_y:.1f})"'
        out.append(text(at_x, at_y, f"{label} {rate / 1e9:.0f} GB/s", 12, "start", "#333", turn))
    if peak and bandwidths:
        start = axes.x(max(axes.x_range[0], peak / max(rate for _, _, rate in bandwidths)))
        y = axes.y(peak)
        out.append(line(start, y, axes.right, y, "#333", 1.6))
        out.append(text(axes.right - 6, y - 6, f"dot-product peak {peak / 1e9:.0f} G/s", 12, "end", "#333"))
    return out


def legend(codes, kinds, kernel):
    y = HEIGHT - 44
    x, out = LEFT, []
    for code in (c for c in COLORS if c in codes):
        out += [f'<rect x="{x}" y="{y - 9}" width="12" height="12" fill="{COLORS[code]}"/>', text(x + 17, y + 1, code)]
        x += 28 + 7 * len(code)
    x += 26
    names = {"gemv dram": "one token, from DRAM", "gemv hot": "one token, from a cache", "gemm": "several tokens"}
    for kind in (k for k in SHAPES if k in kinds):
        out += [marker(kind, x + 6, y - 3, "#666"), text(x + 17, y + 1, names[kind])]
        x += 34 + 7 * len(names[kind])
    return [*out, text(LEFT, HEIGHT - 16, f"Kernel {kernel}. Each mark is one format and shape; hover for its name.", 11, color="#555")]


def nice_range(values, low_pad, high_pad):
    return min(values) / low_pad, max(values) * high_pad


def draw(entries, threads, kernel, shapes):
    panels = [(t, *roofs(entries, t), points(entries, t, kernel, shapes)) for t in threads]
    everything = [p for panel in panels for p in panel[3]]
    if not everything:
        return None
    x_range = nice_range([p["x"] for p in everything], 6, 1.8)
    peaks = [peak for _, _, peak, _ in panels if peak]
    y_range = nice_range([p["y"] for p in everything] + peaks, 2.2, 1.8)
    width = WIDTH if len(panels) > 1 else PANEL + 20
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" '
        'font-family="DejaVu Sans, Helvetica, Arial, sans-serif">',
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 26, "Packed products against the machine's limits", 17, extra='font-weight="bold"'),
    ]
    for index, (count, bandwidths, peak, marks) in enumerate(panels):
        axes = Axes(index * (WIDTH - PANEL), x_range, y_range)
        out.append(text(axes.left, TOP - 12, "1 thread" if count == 1 else f"{count} threads", 13))
        out += grid(axes)
        out += roof_lines(axes, bandwidths, peak)
        out += [marker(p["kind"], axes.x(p["x"]), axes.y(p["y"]), COLORS.get(p["code"], "#555"), p["name"]) for p in marks]
        middle = (axes.left + axes.right) / 2
        out.append(text(middle, axes.bottom + 36, "multiply-adds per packed byte", 12, "middle"))
        if index == 0:
            turn = f'transform="rotate(-90 14 {(axes.top + axes.bottom) / 2:.1f})"'
            out.append(text(14, (axes.top + axes.bottom) / 2, "10⁹ multiply-adds a second", 12, "middle", extra=turn))
    out += legend({p["code"] for p in everything}, {p["kind"] for p in everything}, kernel)
    return "\n".join([*out, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", help="JSON of read, gemv, gemm")
    parser.add_argument("--output", required=True)
    parser.add_argument("--kernel", help="default: the fastest of the machine that measured")
    parser.add_argument("--shapes", nargs="*", default=["4096x4096", "3072x1024"], help="default: %(default)s")
    options = parser.parse_args()
    entries, context = read_reports(options.reports)
    kernel = options.kernel or context.get("fastest kernel", "")
    threads = sorted({int(e["name"].rsplit(":", 1)[1]) for e in entries if re.search(r"/threads:\d+$", e["name"])})
    picture = draw(entries, [threads[0], threads[-1]] if len(threads) > 1 else threads, kernel, options.shapes)
    if picture is None:
        print(f"no product by the kernel '{kernel}' on {', '.join(options.shapes)}", file=sys.stderr)
        return 1
    with open(options.output, "w") as file:
        file.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
