# SPDX-License-Identifier: Apache-2.0
"""Follows docs/kernels.md, "Add a codec", to the letter in a copy of the headers.

    add_codec.py <docs/kernels.md> <tree> <copy>

copies <tree>/include to <copy>/include and inserts each block of C++ where its first line says:
"// <file>, after <line>" or "// <file>, before <line>". Fails where a block names a line that is
not there, or is there more than once.
"""
import pathlib
import re
import shutil
import sys


def main() -> None:
    page, tree, copy = map(pathlib.Path, sys.argv[1:])
    text = page.read_text(encoding="utf-8")
    start = text.index("## Add a codec")
    blocks = re.findall(r"```cpp\n// (\S+), (after|before) ([^\n]*)\n(.*?)```\n", text[start:], re.S)
    if not blocks:
        sys.exit(f"{page} has no blocks to follow")
    shutil.rmtree(copy / "include", ignore_errors=True)
    shutil.copytree(tree / "include", copy / "include")
    for name, where, line, code in blocks:
        path = copy / name
        content = path.read_text(encoding="utf-8")
        places = [m for m in re.finditer("^" + re.escape(line) + "$", content, re.M)]
        if len(places) != 1:
            sys.exit(f"{page}: {name} has the line '{line}' {len(places)} times, expected once")
        at = places[0].start() if where == "before" else places[0].end() + 1
        path.write_text(content[:at] + code + content[at:], encoding="utf-8")
    print(f"{len(blocks)} blocks followed")


main()
