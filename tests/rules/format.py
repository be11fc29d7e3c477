"""format.py <tree>: every C++ file of the tree is laid out as the clang-format beside this interpreter would.

An .inl is a piece of a file, which no formatter can lay out."""
import pathlib
import subprocess
import sys

root = pathlib.Path(sys.argv[1])
clang_format = pathlib.Path(sys.executable).parent / "clang-format"
# Texts that are kept as they were given, and files that break rules on purpose.
kept = ("tests/rules/broken/", "tests/consumers/verbatim")
files = [
    str(file)
    for folder in ("include", "tests", "benchmarks", "examples", "cmake")
    for suffix in ("hpp", "cpp")
    for file in sorted((root / folder).rglob(f"*.{suffix}"))
    if not file.relative_to(root).as_posix().startswith(kept)
]
if not files:
    sys.exit(f"no C++ file below {root}")
result = subprocess.run([clang_format, "--dry-run", "--Werror", *files], capture_output=True, text=True)
if result.returncode != 0:
    changed = sorted({line.split(":")[0] for line in result.stderr.splitlines() if "-Wclang-format-violations" in line})
    sys.exit("`clang-format -i` would change\n  " + "\n  ".join(changed or [result.stderr]))
