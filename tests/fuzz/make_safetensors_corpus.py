"""Writes the safetensors seed files: valid ones, and one for each way in which a file can lie.

    python3 make_safetensors_corpus.py tests/fuzz/corpus/safetensors

    valid-*    accepted
    bad-*      refused by the reader
tests/io/safetensors_reader.cpp says which sentence refuses which.
"""
import json
import pathlib
import struct
import sys

ONE_TWO = struct.pack("<2f", 1, 2)
DTYPES = {
    "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F32": 32, "U32": 32, "I32": 32, "BF16": 16, "F16": 16, "U16": 16,
    "I16": 16, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8, "F8_E8M0": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8,
    "F6_E3M2": 6, "F6_E2M3": 6, "F4": 4, "BOOL": 8}


def file(header, data=ONE_TWO, length=None, multiple=8):
    """A file of the header's text, padded with spaces; its length as it is, or another."""
    header = header.encode() if isinstance(header, str) else header
    header += b" " * (-len(header) % multiple)
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(name="a", dtype='"F32"', shape="[2]", offsets="[0,8]", more=""):
    fields = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    return f'"{name}":{{' + ",".join(f'"{k}":{v}' for k, v in fields.items() if v is not None) + more + "}"


def one(data=ONE_TWO, **fields):
    return file("{" + entry(**fields) + "}", data)


def two(second, data=ONE_TWO, **fields):
    return file("{" + entry() + "," + entry(second, **fields) + "}", data)


def metadata(text, more=True):
    return file('{"__metadata__":' + text + ("," + entry() if more else "") + "}", ONE_TWO if more else b"")


def every_dtype():
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for dtype, bits in DTYPES.items():
        size = 8 * bits // 8
        content = bytes([0, 1] * (size // 2)) if dtype == "BOOL" else bytes((7 * i + bits) % 120 for i in range(size))
        header[f"t.{dtype}"] = {"dtype": dtype, "shape": [2, 4], "data_offsets": [len(data), len(data) + size]}
        data += content
    return file(json.dumps(header, separators=(",", ":")), data)


def seeds():
    yield "valid-no-tensors", file("{}", b"")
    yield "valid-metadata-alone", metadata('{"format":"pt","\\u00e9":"\\n\\"\\\\"}', more=False)
    yield "valid-one", one()
    yield "valid-dtypes", every_dtype()
    yield "valid-scalar", one(shape="[]", offsets="[0,4]", data=ONE_TWO[:4])
    yield "valid-empty-tensors", file("{" + entry("x", shape="[0]", offsets="[0,0]") + "," + entry() + "," +
                                      entry("y", shape="[3,0]", offsets="[8,8]") + "}")
    yield "valid-order-of-names", file("{" + entry("b", shape="[1]", offsets="[4,8]") + "," +
                                       entry("a", shape="[1]", offsets="[0,4]") + "}")
    yield "valid-unaligned", file("{" + entry("b", '"U8"', "[1]", "[0,1]") + "," + entry(offsets="[1,9]") + "}",
                                  b"\x07" + ONE_TWO, multiple=1)
    yield "valid-eight-dimensions", one(shape="[1,1,1,1,1,1,1,2]")
    yield "valid-newline-padding", file("{" + entry() + "}\n\n")
    yield "valid-extra-field", one(more=',"strides":[1,{"a":null,"b":[true,1.5,-2,"x"]}]')
    yield "valid-empty-before-overflow", one(b"", dtype='"U8"', shape="[0,9223372036854775808,2]", offsets="[0,0]")

    yield "bad-empty-file", b""
    yield "bad-seven-bytes", bytes([16, 0, 0, 0, 0, 0, 0])
    yield "bad-lfs-pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    yield "bad-length-past-file", file("{" + entry() + "}", length=4096)
    yield "bad-length-one-more", file("{" + entry() + "}", b"", length=57)
    yield "bad-length-wraps", file("{" + entry() + "}", length=2**64 - 8)
    yield "bad-length-max", file("{" + entry() + "}", length=2**64 - 1)
    yield "bad-length-over-100mb", file("{" + entry() + "}", length=100_000_001)
    yield "bad-length-zero", file("", b"")
    yield "bad-leading-space", file(" {" + entry() + "}")
    yield "bad-leading-bom", file(b"\xef\xbb\xbf{" + entry().encode() + b"}")
    yield "bad-array-header", file("[]", b"")
    yield "bad-truncated-json", file("{" + entry()[:-3], multiple=1)
    yield "bad-trailing-comma", file("{" + entry() + ",}")
    yield "bad-text-after-object", file("{" + entry() + "}x")
    yield "bad-nul-padding", file("{" + entry() + "}\0\0", multiple=1)
    yield "bad-text-after-nul", file("{" + entry() + "}\0x")
    yield "bad-nan", one(shape="[NaN]")
    yield "bad-comment", file("{/*x*/" + entry() + "}")

    yield "bad-name-utf8", file(b'{"\xff\xfe"' + entry()[3:].encode() + b"}")
    yield "bad-name-lone-surrogate", one(name="\\ud800")
    yield "bad-name-nul", one(name="a\\u0000b")
    yield "bad-name-empty", one(name="")
    yield "bad-name-twice-same-range", two("a")
    yield "bad-name-twice-two-ranges", two("a", ONE_TWO * 2, offsets="[8,16]")
    yield "bad-name-twice-escaped", two("\\u0061")

    yield "bad-metadata-twice", file('{"__metadata__":{"x":"1"},"__metadata__":{"x":"2"},' + entry() + "}")
    yield "bad-metadata-key-twice", metadata('{"x":"1","x":"2"}')
    yield "bad-metadata-number", metadata('{"x":1}')
    yield "bad-metadata-nested", metadata('{"x":{"y":"z"}}')
    yield "bad-metadata-is-string", metadata('"x"')
    yield "bad-metadata-is-tensor", file("{" + entry("__metadata__") + "}", b"")

    yield "bad-field-twice", file('{"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}')
    yield "bad-dtype-unknown", one(ONE_TWO * 2, dtype='"F128"', shape="[1]", offsets="[0,16]")
    yield "bad-dtype-lower-case", one(dtype='"f32"')
    yield "bad-dtype-number", one(dtype="1")
    yield "bad-no-dtype", one(dtype=None)
    yield "bad-no-shape", one(shape=None)
    yield "bad-no-offsets", one(offsets=None)
    yield "bad-null-entry", file('{"a":null}', b"")
    yield "bad-array-entry", file('{"a":[]}', b"")
    yield "bad-shape-negative", one(shape="[-2]")
    yield "bad-shape-minus-zero", one(b"", shape="[-0]", offsets="[0,0]")
    yield "bad-shape-fraction", one(shape="[2.0]")
    yield "bad-shape-exponent", one(shape="[2e0]")
    yield "bad-shape-string", one(shape='["2"]')
    yield "bad-shape-nested", one(shape="[[2]]")
    yield "bad-shape-object", one(shape='{"a":2}')
    yield "bad-shape-number", one(shape="2")
    yield "bad-shape-dimensions", one(shape="[1,1,1,1,1,1,1,1,2]")
    yield "bad-shape-product-wraps-to-zero", one(b"", dtype='"U8"', shape="[4294967296,4294967296]", offsets="[0,0]")
    yield "bad-shape-bits-wrap", one(b"", shape="[4611686018427387904]", offsets="[0,0]")
    yield "bad-shape-empty-after-overflow", one(b"", dtype='"U8"', shape="[9223372036854775808,2,0]", offsets="[0,0]")
    yield "bad-shape-f4-odd", one(b"\0", dtype='"F4"', shape="[3]", offsets="[0,1]")
    yield "bad-shape-f6-not-whole-bytes", one(b"\0\0", dtype='"F6_E2M3"', shape="[3]", offsets="[0,2]")

    yield "bad-offsets-reversed", one(offsets="[8,0]")
    yield "bad-offsets-negative", one(offsets="[-8,0]")
    yield "bad-offsets-one", one(offsets="[0]")
    yield "bad-offsets-three", one(offsets="[0,8,16]")
    yield "bad-offsets-over-64-bits", one(offsets="[0,18446744073709551624]")
    yield "bad-offsets-over-2-53", one(dtype='"U8"', shape="[9007199254740993]", offsets="[0,9007199254740993]")
    yield "bad-offsets-hole", two("b", ONE_TWO * 2, shape="[1]", offsets="[12,16]")
    yield "bad-offsets-overlap", two("b", ONE_TWO + bytes(4), offsets="[4,12]")
    yield "bad-offsets-two-names-one-range", two("b")
    yield "bad-offsets-first", one(ONE_TWO * 2, offsets="[8,16]")
    yield "bad-trailing-bytes", one(ONE_TWO + b"PK\x05\x06")
    yield "bad-trailing-bytes-without-tensors", file("{}", b"MZ")
    yield "bad-data-cut", one(ONE_TWO[:6])
    yield "bad-size-small", one(shape="[3]")
    yield "bad-size-large", one(shape="[1]")

    yield "bad-deep-metadata", metadata("[" * 200 + "]" * 200)
    yield "bad-deep-extra-field", one(more=',"x":' + "[" * 126 + "]" * 126)
    yield "valid-deep-extra-field", one(more=',"x":' + "[" * 125 + "]" * 125)


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.safetensors"):
        old.unlink()
    for name, content in seeds():
        (folder / f"{name}.safetensors").write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1])
