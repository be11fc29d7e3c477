#!/usr/bin/env python3
"""Compares two builds of the benchmarks and fails on a regression.

    compare_builds.py OLD NEW [--programs gemv gemm] [--filter REGEX] [--passes 7] [--threshold 1.05] [-- ARGUMENTS]

OLD and NEW are build folders (or their benchmarks/ folders). The programs of both run in turn, pass after pass, in
alternating order, so that a drift of the clock or a neighbour's load meets both alike. For every benchmark that both
have, the ratio of its times, new over old, is taken within each pass; the table shows the median of these ratios and
their quartiles.

A benchmark is a regression where the median is above the threshold and the lower quartile above 1: a slow-down by
5 %, which three passes out of four saw. One noisy pass of seven decides nothing. The exit status is 1 where there is a
regression, where a benchmark of OLD is an error in NEW, and 2 where nothing could be compared; else 0.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass


@dataclass
class Comparison:
    """One benchmark over all passes: ratios of times, new over old."""

    name: str
    median: float
    low: float
    high: float

    def is_regression(self, threshold):
        return self.median > threshold and self.low > 1


def read_times(report):
    """Name -> seconds a call (or None where it was an error) of a program's JSON report."""
    unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
    times = {}
    for entry in report["benchmarks"]:
        if entry.get("run_type", "iteration") != "iteration":
            continue
        failed = entry.get("error_occurred") or entry.get("skipped")
        times[entry["name"]] = None if failed else entry["real_time"] * unit[entry["time_unit"]]
    return times


def quartiles(values):
    if len(values) == 1:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def compare(passes):
    """Comparisons and names that fail in the new build, from a list of (old times, new times)."""
    names = [name for name in passes[0][0] if all(name in old and name in new for old, new in passes)]
    comparisons, failures = [], []
    for name in names:
        if any(old[name] is None for old, _ in passes):
            continue  # nothing to compare with
        if any(new[name] is None for _, new in passes):
            failures.append(name)
            continue
        low, median, high = quartiles([new[name] / old[name] for old, new in passes])
        comparisons.append(Comparison(name, median, low, high))
    return comparisons, failures


def status(comparisons, failures, threshold):
    if not comparisons and not failures:
        return 2
    return 1 if failures or any(c.is_regression(threshold) for c in comparisons) else 0


def run(program, arguments):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "report.json"
        subprocess.run([program, f"--benchmark_out={out}", *arguments], check=True, stdout=subprocess.DEVNULL)
        return read_times(json.loads(out.read_text()))


def folder_of(build):
    below = build / "benchmarks"
    return below if below.is_dir() else build


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("--programs", nargs="+", default=["gemv", "gemm", "quantize", "attention"])
    parser.add_argument("--filter", default="")
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--threshold", type=float, default=1.05)
    parser.add_argument("arguments", nargs="*", help="for the programs, behind --")
    options = parser.parse_args()

    extra = [*options.arguments, *([f"--benchmark_filter={options.filter}"] if options.filter else [])]
    passes = [({}, {}) for _ in range(max(1, options.passes))]
    for program in options.programs:
        for i, times in enumerate(passes):
            for side in (0, 1) if i % 2 == 0 else (1, 0):
                build = (options.old, options.new)[side]
                times[side].update(run(folder_of(build) / program, extra))
                print(f"{program}: pass {i + 1} of {len(passes)}, {('old', 'new')[side]}", file=sys.stderr)

    comparisons, failures = compare(passes)
    width = max((len(c.name) for c in comparisons), default=0)
    for c in sorted(comparisons, key=lambda c: -c.median):
        mark = "  REGRESSION" if c.is_regression(options.threshold) else ""
        print(f"{c.name:{width}}  {c.median:6.3f}  ({c.low:.3f} to {c.high:.3f}){mark}")
    for name in failures:
        print(f"{name}  ERROR in the new build")
    result = status(comparisons, failures, options.threshold)
    if result == 2:
        print("no benchmark is in both builds", file=sys.stderr)
    return result


if __name__ == "__main__":
    sys.exit(main())
