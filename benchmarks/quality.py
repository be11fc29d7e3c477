#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws quality over size: KL of quantized models to the 16-bit one, ours and llama.cpp's.

    quality.py [--svg FILE] OURS.json THEIRS.txt > table.md

OURS.json is what `llm compare --methods ... --json` wrote. THEIRS.txt has a line for every file that
llama.cpp's perplexity tool has read, ours exported to f16 among them:

    NAME BYTES PERPLEXITY KL TOP_PERCENT

A line whose name is that of a row of OURS.json is the same model as the other tool sees it.
"""

import argparse
import json
import math
import sys

LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 70, 640, 50, 420, 860, 480
OURS, THEIRS = "#4477aa", "#ee6677"


def read_theirs(path):
    rows = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            name, size, perplexity, divergence, top = line.rsplit(maxsplit=4)
            rows[name] = (int(size), float(perplexity), float(divergence), float(top))
    return rows


def scale(low, high, begin, end):
    return lambda value: begin + (value - low) / (high - low) * (end - begin)


def draw(ours, theirs):
    points = [row[:1] + row[2:3] for row in ours + theirs]
    sizes = [size / 1e6 for size, _ in points]
    low_x, high_x = 10 * math.floor(min(sizes) / 10), 10 * math.ceil(max(sizes) / 10)
    low_y = math.floor(math.log10(min(divergence for _, divergence in points)))
    high_y = math.ceil(math.log10(max(divergence for _, divergence in points)))
    x, y = scale(low_x, high_x, LEFT, RIGHT), scale(low_y, high_y, BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-weight="bold" font-size="15">SmolLM2-135M off its grid: '
        "KL to 16 bits, nats a token, over file size</text>",
    ]
    for power in range(low_y, high_y + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0**power
            if math.log10(value) > high_y + 1e-9:
                continue
            at = y(math.log10(value))
            parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{RIGHT}" y2="{at:.1f}" stroke="#dddddd"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end" fill="#555555">{value:g}</text>')
    for size in range(low_x, high_x + 1, 10):
        at = x(size)
        parts.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{BOTTOM}" stroke="#dddddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{BOTTOM + 18}" text-anchor="middle" fill="#555555">{size}</text>')
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 40}" text-anchor="middle" fill="#555555">MB</text>')
    for rows, color, title, line in ((ours, OURS, "llm calibrate, auto", 0), (theirs, THEIRS, "llama.cpp", 1)):
        rows = sorted(rows)
        if line == 0:
            way = " ".join(f"{x(size / 1e6):.1f},{y(math.log10(kl)):.1f}" for size, _, kl, _, _ in rows)
            parts.append(f'<polyline points="{way}" fill="none" stroke="{color}" stroke-width="2"/>')
        for size, _, divergence, _, name in rows:
            at_x, at_y = x(size / 1e6), y(math.log10(divergence))
            parts.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="4" fill="{color}"/>')
            if line == 1:
                parts.append(f'<text x="{at_x + 8:.1f}" y="{at_y + 4:.1f}" fill="{color}">{name}</text>')
        mark = TOP + 20 + 24 * line
        parts.append(f'<circle cx="{RIGHT + 24}" cy="{mark - 4}" r="5" fill="{color}"/>')
        parts.append(f'<text x="{RIGHT + 36}" y="{mark}">{title}</text>')
    return "\n".join(parts + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", help="the picture")
    parser.add_argument("ours")
    parser.add_argument("theirs")
    options = parser.parse_args()
    with open(options.ours, encoding="utf-8") as file:
        measured = json.load(file)["rows"]
    theirs = read_theirs(options.theirs)

    print("| model | MB | KL | same top token | perplexity | KL, other tool | prompt, decoded tokens/s | minutes |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in measured:
        other = theirs.get(row["weights"])
        minutes = f"{row['calibration_seconds'] / 60:.1f}" if "calibration_seconds" in row else ""
        print(
            f"| {row['weights']} | {row['file_bytes'] / 1e6:.1f} | {row['mean_kl_nats']:.4f} "
            f"| {100 * row['top_token_agreement']:.1f} % | {row['perplexity']:.2f} "
            f"| {f'{other[2]:.4f}' if other else ''} "
            f"| {row['prompt_tokens_per_second']:.0f}, {row['decoded_tokens_per_second']:.0f} | {minutes} |"
        )
    names = {row["weights"] for row in measured}
    peers = [(*row, name) for name, row in theirs.items() if name not in names]
    for size, perplexity, divergence, top, name in sorted(peers, reverse=True):
        print(f"| llama.cpp {name} | {size / 1e6:.1f} | | {top:.1f} % | {perplexity:.2f} | {divergence:.4f} | | |")
    if options.svg:
        drawn = [
            (row["file_bytes"], 0, theirs[row["weights"]][2], 0, row["weights"])
            for row in measured
            if row["weights"].startswith("auto") and row["weights"] in theirs
        ]
        if not drawn:
            sys.exit("quality.py: no row of method auto was read by the other tool; nothing to draw")
        with open(options.svg, "w", encoding="utf-8") as file:
            file.write(draw(drawn, peers))


if __name__ == "__main__":
    main()
