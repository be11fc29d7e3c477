"""Tests of benchmarks/compare_builds.py with made-up figures: what it reads, and when it calls a regression."""
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "compare_builds.py"
spec = importlib.util.spec_from_file_location("compare_builds", SCRIPT)
compare_builds = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = compare_builds
spec.loader.exec_module(compare_builds)


def passes_of(ratios, name="gemv"):
    """Old takes 2 ms in every pass, new that times a ratio."""
    return [({name: 2e-3}, {name: 2e-3 * ratio}) for ratio in ratios]


def decide(passes, threshold=1.05):
    comparisons, failures = compare_builds.compare(passes)
    return compare_builds.status(comparisons, failures, threshold)


class Reading(unittest.TestCase):
    def test_units_aggregates_and_errors(self):
        report = {
            "benchmarks": [
                {"name": "a", "run_type": "iteration", "real_time": 250.0, "time_unit": "ns"},
                {"name": "b", "run_type": "iteration", "real_time": 3.0, "time_unit": "ms"},
                {"name": "b_median", "run_type": "aggregate", "real_time": 9.0, "time_unit": "ms"},
                {"name": "c", "run_type": "iteration", "real_time": 0, "time_unit": "ns", "error_occurred": True},
            ]
        }
        times = compare_builds.read_times(report)
        self.assertEqual(set(times), {"a", "b", "c"})
        self.assertAlmostEqual(times["a"], 250e-9)
        self.assertAlmostEqual(times["b"], 3e-3)
        self.assertIsNone(times["c"])


class Deciding(unittest.TestCase):
    def test_the_same_speed_passes(self):
        self.assertEqual(decide(passes_of([0.97, 1.02, 1.0, 0.99, 1.03, 1.01, 0.98])), 0)

    def test_faster_passes(self):
        self.assertEqual(decide(passes_of([0.5] * 7)), 0)

    def test_slower_fails(self):
        self.assertEqual(decide(passes_of([1.08, 1.1, 1.07, 1.12, 1.09, 1.06, 1.11])), 1)

    def test_one_noisy_pass_decides_nothing(self):
        self.assertEqual(decide(passes_of([1.0, 1.01, 3.0, 0.99, 1.0, 1.02, 1.0])), 0)

    def test_a_median_above_the_threshold_with_a_quarter_below_one_is_noise(self):
        self.assertEqual(decide(passes_of([0.8, 0.9, 0.95, 1.06, 1.2, 1.3, 1.4])), 0)

    def test_the_threshold_is_the_callers(self):
        slower = passes_of([1.08] * 3)
        self.assertEqual(decide(slower, threshold=1.1), 0)
        self.assertEqual(decide(slower, threshold=1.05), 1)

    def test_one_pass_is_enough_to_decide(self):
        self.assertEqual(decide(passes_of([1.2])), 1)
        self.assertEqual(decide(passes_of([1.0])), 0)

    def test_ratios_are_taken_within_a_pass(self):
        # The machine slows down by half between passes; both builds are equally fast.
        self.assertEqual(decide([({"a": t}, {"a": t}) for t in (1e-3, 2e-3, 3e-3)]), 0)

    def test_an_error_in_the_new_build_fails(self):
        self.assertEqual(decide([({"a": 1e-3}, {"a": None})]), 1)

    def test_an_error_in_the_old_build_is_not_compared(self):
        self.assertEqual(decide([({"a": None, "b": 1e-3}, {"a": 1e-3, "b": 1e-3})]), 0)

    def test_nothing_in_common_is_not_success(self):
        self.assertEqual(decide([({"a": 1e-3}, {"b": 1e-3})]), 2)


PROGRAM = """#!{python}
import json, sys
out = next(a for a in sys.argv if a.startswith("--benchmark_out=")).split("=", 1)[1]
entry = {{"name": "gemv/x", "run_type": "iteration", "real_time": {time}, "time_unit": "us"}}
open(out, "w").write(json.dumps({{"benchmarks": [entry]}}))
"""


@unittest.skipIf(os.name == "nt", "programs are scripts with a first line here")
class Running(unittest.TestCase):
    """The whole script on two builds whose programs always say the same."""

    def exit_status(self, old_time, new_time):
        with tempfile.TemporaryDirectory() as folder:
            for build, time in (("old", old_time), ("new", new_time)):
                program = pathlib.Path(folder) / build / "benchmarks" / "gemv"
                program.parent.mkdir(parents=True)
                program.write_text(PROGRAM.format(python=sys.executable, time=time))
                program.chmod(0o755)
            command = [sys.executable, SCRIPT, f"{folder}/old", f"{folder}/new", "--programs", "gemv", "--passes", "3"]
            return subprocess.run(command, capture_output=True).returncode

    def test_exit_status(self):
        self.assertEqual(self.exit_status(100, 101), 0)
        self.assertEqual(self.exit_status(100, 130), 1)


if __name__ == "__main__":
    unittest.main()
