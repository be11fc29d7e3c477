"""Writes the file that tests/io/safetensors_writer.cpp must write byte for byte, with safetensors 0.8.0.

    python3 make_safetensors_data.py tests/data/safetensors/written_by_safetensors_0_8.safetensors
"""
import ctypes
import pathlib
import sys

import safetensors


def pattern(size, seed):
    return bytes((seed + 37 * i) % 256 for i in range(size))


# name, dtype, shape, bytes
TENSORS = [
    ("z.weight", "float32", [2, 3], pattern(24, 1)),
    ("a.weight", "float32", [], pattern(4, 2)),
    ("b", "bool", [3], b"\0\1\1"),
    ("half", "float16", [5], pattern(10, 3)),
    ("brain", "bfloat16", [1, 1, 7], pattern(14, 4)),
    ("codes", "uint8", [3, 5], pattern(15, 5)),
    ("empty", "int64", [0, 4], b""),
    ("long", "int64", [1], pattern(8, 6)),
    ("words", "int32", [2], pattern(8, 7)),
    ("name \"quoted\" \\ \u00e9\u4e2d \t\n\x01\x7f", "uint8", [1], pattern(1, 8)),
    ("B", "float32", [1], pattern(4, 9)),
]


def main(path):
    specs, kept = {}, []
    for name, dtype, shape, data in TENSORS:
        kept.append(ctypes.create_string_buffer(data, max(len(data), 1)))
        specs[name] = safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=ctypes.addressof(kept[-1]),
                                             data_len=len(data))
    content = safetensors.serialize(specs, {"format": "pt"})  # of several keys the order is random
    pathlib.Path(path).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1])
