"""Writes the seed files of a teacher's top k: valid ones, and some that lie.

    python3 make_top_k_corpus.py tests/fuzz/corpus/top_k

tests/io/top_k_file.cpp says which sentence refuses which.
"""
import pathlib
import struct
import sys


def header(k=2, vocabulary=9):
    return b"edgetopk" + struct.pack("<IIQ", 1, k, vocabulary) + bytes(40)


def sequence(tokens, labels, ids, logs, count=None):
    numbers = struct.pack(f"<{2 * len(tokens) + len(ids)}i", *tokens, *labels, *ids)
    data = b"seq\0" + struct.pack("<IQ", 0, len(tokens) if count is None else count) + numbers
    data += struct.pack(f"<{len(logs)}e", *logs)
    return data + bytes(-len(data) % 64)


GOOD = sequence([1, 2], [-100, 2], [3, 4, 5, -1], [-1, -2, -0.5, 0])
FILES = {
    "valid-empty": header(),
    "valid-two": header() + GOOD + sequence([], [], [], []),
    "bad-count": header() + sequence([1, 2], [-100, 2], [3, 4, 5, -1], [-1, -2, -0.5, 0], 1 << 62),
    "bad-id": header() + sequence([1], [1], [9, 3], [-1, -2]),
    "bad-nan": header() + sequence([1], [1], [2, 3], [float("nan"), -2]),
    "bad-cut": (header() + GOOD)[:-1],
}

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, data in FILES.items():
    (folder / name).write_bytes(data)
