#!/usr/bin/env python3
"""What including edgerazor costs a compiler, as ratios to a unit that only includes <xsimd/xsimd.hpp> at the same flags.

    compile_time.py [--compilers g++ clang++] [--flags="-O2"] [--include FOLDER]... [--rounds 7]

Processor seconds, as children's user and system time. In every round each unit is compiled once, in an order of its own, so that
a machine that slows down slows all of them; a ratio is taken within a round, and the median of the rounds is printed with its
budget. The table is Markdown, for docs/benchmarks.md. Ends with 1 where a median passes its budget.
"""
import argparse
import pathlib
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNITS = ROOT / "benchmarks" / "compile_time"
BASE = ("xsimd", "header-only")
# unit, form, what it is, budget as a ratio to the base
CASES = [
    ("quant", "header-only", "`quant.hpp`, unused", 1.5),
    ("quant", "compiled", "`quant.hpp`, unused", 1.5),
    ("distill", "header-only", "`distill.hpp`, unused", 1.5),
    ("distill", "compiled", "`distill.hpp`, unused", 1.5),
    ("gemv", "compiled", "one `gemv`", 2.0),
    ("gemv", "header-only", "one `gemv`", 7.0),
]


def seconds(compiler, flags, unit, form, folder):
    """Processor time of one compilation, and the object's bytes."""
    target = pathlib.Path(folder) / "unit.o"
    define = ["-DEDGERAZOR_COMPILED"] if form == "compiled" else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([compiler, *flags, *define, "-c", UNITS / f"{unit}.cpp", "-o", target], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, target.stat().st_size


def measure(compiler, flags, rounds):
    """-> base seconds, and for each case (median ratio, median seconds, bytes of the object)."""
    keys = [BASE] + [case[:2] for case in CASES]
    times = {key: [] for key in keys}
    size = {}
    with tempfile.TemporaryDirectory() as folder:
        seconds(compiler, flags, *BASE, folder)  # fills the file cache
        for number in range(rounds):
            order = keys[:]
            random.Random(number).shuffle(order)
            for key in order:
                time, size[key] = seconds(compiler, flags, *key, folder)
                times[key].append(time)
    ratios = {
        key: statistics.median(own / base for own, base in zip(times[key], times[BASE], strict=True)) for key in keys
    }
    return ratios, {key: statistics.median(values) for key, values in times.items()}, size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compilers", nargs="+", default=["g++", "clang++"])
    parser.add_argument("--flags", default="-O2", help="for all units, as one word: --flags='-O2 -g'")
    parser.add_argument("--include", action="append", default=[], help="where xsimd is, if the compiler does not find it")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()

    flags = ["-std=c++20", *arguments.flags.split(), f"-I{ROOT / 'include'}"]
    for folder in arguments.include:
        flags += ["-isystem", folder]
    over = False
    print(f"`{arguments.flags}`, {arguments.rounds} rounds, {platform.machine()}\n")
    print("| compiler | unit | form | seconds | ratio | budget | object, kB |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for compiler in arguments.compilers:
        ratios, times, size = measure(compiler, flags, arguments.rounds)
        print(f"| {compiler} | `<xsimd/xsimd.hpp>`, unused | | {times[BASE]:.2f} | 1.00 | | {size[BASE] / 1000:.0f} |")
        for unit, form, what, budget in CASES:
            key = unit, form
            over |= ratios[key] > budget
            print(f"| {compiler} | {what} | {form} | {times[key]:.2f} | {ratios[key]:.2f} | {budget:g} | {size[key] / 1000:.0f} |")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
