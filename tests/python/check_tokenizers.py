"""Hugging Face's tokenizers read the folders that write_tokenizers wrote and give the same encodings.

    python3 check_tokenizers.py <write_tokenizers> <tests/data/tokenizers>
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([sys.argv[1], name, sys.argv[2]], check=True)
        cases = json.loads((folder / "encodings.json").read_text())
        written = {family: Tokenizer.from_file(str(folder / family / "tokenizer.json"))
                   for family in {case["family"] for case in cases}}
        for case in cases:
            ids = written[case["family"]].encode(case["text"]).ids
            if ids != case["ids"]:
                sys.exit(f"{case['family']}, {case['text']!r}: {ids} and not {case['ids']}")
        if len(written) != 5 or len(cases) < 5 * 300:
            sys.exit(f"only {len(cases)} encodings of {len(written)} tokenizers")
        print(f"{len(cases)} encodings of {len(written)} tokenizers are the same")


main()
