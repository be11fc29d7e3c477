"""Writes the GGUF seed files: valid ones, and one for each way in which a file can lie.

    python3 make_gguf_corpus.py tests/fuzz/corpus/gguf

    valid-*    accepted
    bad-*      refused by the reader
    scale-*    accepted, refused by validate()
    packed-*   accepted, the description of their packed tensors refused
tests/io/gguf_parse.cpp says which sentence refuses which.
"""
import math
import pathlib
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
HUGE = 2**64 - 1


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def text(value, length=None):
    value = value.encode() if isinstance(value, str) else value
    return u64(len(value) if length is None else length) + value


def key(name, kind, value):
    """One key; bytes as value are taken as they are."""
    if not isinstance(value, bytes):
        value = text(value) if kind == STRING else struct.pack("<" + FORMATS[kind], value)
    return text(name) + u32(kind) + value


def array(name, kind, values, count=None):
    parts = [text(v) if kind == STRING else struct.pack("<" + FORMATS[kind], v) for v in values]
    return text(name) + u32(ARRAY) + u32(kind) + u64(len(values) if count is None else count) + b"".join(parts)


def tensor(name, dims, kind, offset):
    return text(name) + u32(len(dims)) + b"".join(u64(d) for d in dims) + u32(kind) + u64(offset)


def file(keys=(), tensors=(), data=b"", alignment=32, version=3, key_count=None, tensor_count=None):
    header = b"GGUF" + u32(version) + u64(len(tensors) if tensor_count is None else tensor_count)
    header += u64(len(keys) if key_count is None else key_count) + b"".join(keys) + b"".join(tensors)
    if data or tensors:
        header += bytes(-len(header) % alignment)
    return header + data


def floats(*values, padded=True):
    data = struct.pack(f"<{len(values)}f", *values)
    return data + bytes(-len(data) % 32 if padded else 0)


ARCHITECTURE = key("general.architecture", STRING, "llama")
ONE = floats(1, 2, 3, 4)  # 16 bytes, padded to 32
F32_TYPE, F16_TYPE, Q4_0, I8_TYPE = 0, 1, 2, 24
HALF_ONE, HALF_NAN, HALF_INF = b"\x00\x3c", b"\x00\x7e", b"\x00\x7c"

# type id: (block, bytes a block, where the float16 scales lie, bytes behind a tensor's blocks)
BLOCKS = {0: (1, 4, [], 0), 1: (1, 2, [], 0), 30: (1, 2, [], 0), 8: (32, 34, [0], 0), 2: (32, 18, [0], 0), 3: (32, 20, [0, 2], 0),
          6: (32, 22, [0], 0), 7: (32, 24, [0, 2], 0), 10: (256, 84, [80, 82], 0), 11: (256, 110, [108], 0),
          12: (256, 144, [0, 2], 0), 13: (256, 176, [0, 2], 0), 14: (256, 210, [208], 0), 20: (32, 18, [0], 0),
          23: (256, 136, [0], 0), 34: (256, 54, [52], 0), 35: (256, 66, [64], 0), 36: (128, 32, [], 32), 39: (32, 17, [], 0),
          40: (64, 36, [], 0), 41: (128, 18, [0], 0), 42: (64, 18, [0], 0)}
CODEBOOKS = {16: 66, 17: 74, 18: 98, 19: 50, 21: 110, 22: 82, 29: 56}  # type id: bytes of 256 elements
FLOAT_NAN = struct.pack("<f", float("nan"))


def all_types():
    tensors, data = [], b""
    for kind, (block, size, scales, tail) in BLOCKS.items():
        content = bytearray(range(size)) if scales else bytearray(size)
        for at in scales:
            content[at:at + 2] = HALF_ONE
        tensors.append(tensor(f"type.{kind}", [block, 2], kind, len(data)))
        data += bytes(content) * 2 + bytes(tail)
        data += bytes(-len(data) % 32)
    for kind, size in CODEBOOKS.items():
        tensors.append(tensor(f"type.{kind}", [256, 2], kind, len(data)))
        data += bytes(range(size)) * 2
        data += bytes(-len(data) % 32)
    return tensors, data


def one_tensor(dims, kind=F32_TYPE, offset=0, data=ONE, name="a", **more):
    return file([ARCHITECTURE], [tensor(name, dims, kind, offset)], data, **more)


def scaled(number, kind=F32_TYPE, count=1):
    """NVFP4 with a scale of the tensor beside it."""
    return file([ARCHITECTURE], [tensor("a.weight", [64], 40, 0), tensor("a.scale", [count], kind, 64)],
                (bytes([0x38] * 4) + bytes(range(32))).ljust(64, b"\0") + number.ljust(32, b"\0"))


def two_tensors(offset_a, offset_b, data=ONE + ONE, kind_a=F32_TYPE, dims_a=(4,)):
    return file([ARCHITECTURE], [tensor("a", dims_a, kind_a, offset_a), tensor("b", [4], F32_TYPE, offset_b)], data)


def with_key(encoded):
    return file([ARCHITECTURE, encoded])


def aligned(value, kind=U32):
    return file([key("general.alignment", kind, value)], [tensor("a", [4], F32_TYPE, 0)], ONE)


def packed(version=1, names=("w",), formats=("ternary2_row",), rows=(16,), cols=(4,), kind=I8_TYPE, dims=(128,), more=()):
    keys = [ARCHITECTURE, key("general.alignment", U32, 64), key("edgerazor.layout_version", U32, version),
            array("edgerazor.tensor.names", STRING, names), array("edgerazor.tensor.formats", STRING, formats),
            array("edgerazor.tensor.rows", U64, rows), array("edgerazor.tensor.cols", U64, cols)]
    # One tile of 16 x 4 ternary codes: 16 scales of 1 padded to 64 bytes, 64 bytes of codes.
    data = (HALF_ONE * 16 + bytes(32) + bytes([0x55, 0x56, 0x54, 0x59] * 16)).ljust(16448, b"\x55")
    size = math.prod(dims) * (4 if kind == F32_TYPE else 1)
    return file(keys, [tensor("w", dims, kind, 0)], data[:size], alignment=64)


def mixed(runs=1, first=0, size=320):
    """17 x 4: rows 0, 8 and 16 in int4, the others ternary; a header of 64 bytes and a tile of each."""
    header = u64(runs) + u64(first) + bytes([0x01, 0x01, 0x01])
    tile = HALF_ONE * 16 + bytes(32) + b"\x55" * 64
    keys = [ARCHITECTURE, key("general.alignment", U32, 64), key("edgerazor.layout_version", U32, 1),
            array("edgerazor.tensor.names", STRING, ["w"]),
            array("edgerazor.tensor.formats", STRING, ["int4_row+ternary2_row:every_8_rows"]),
            array("edgerazor.tensor.rows", U64, [17]), array("edgerazor.tensor.cols", U64, [4])]
    data = (header.ljust(64, b"\0") + tile + tile).ljust(size, b"\0")[:size]
    return file(keys, [tensor("w", [size], I8_TYPE, 0)], data, alignment=64)


def seeds():
    types, data = all_types()
    yield "valid-empty", file()
    yield "valid-metadata", file([
        ARCHITECTURE, key("u8", U8, 200), key("i8", I8, -1), key("u16", U16, 60000), key("i16", I16, -2), key("u32", U32, 7),
        key("i32", I32, -3), key("f32", F32, 0.5), key("bool", BOOL, 1), key("u64", U64, 2**40), key("i64", I64, -2**40),
        key("f64", F64, 0.25), array("strings", STRING, ["a", "", "b\0c", "\u00e9"]), array("floats", F32, [1, 2]),
        array("bools", BOOL, [0, 1, 1]), array("empty", I32, []), key("not utf-8", STRING, text(b"\xff\x00\xfe"))])
    yield "valid-types", file([ARCHITECTURE], types, data)
    yield "valid-version-2", one_tensor([4], version=2)
    yield "valid-alignment-1", file([key("general.alignment", U32, 1)], [tensor("a", [3], F16_TYPE, 0),
                                    tensor("b", [1], F32_TYPE, 6)], bytes(10), alignment=1)
    yield "valid-no-final-padding", one_tensor([4], data=ONE[:16])
    yield "valid-scalar", one_tensor([], data=floats(5))
    yield "valid-four-dims", one_tensor([2, 2, 1, 3], data=floats(*range(12)))
    yield "valid-zero-dim", file([ARCHITECTURE], [tensor("empty", [2**40, 0, 2**63], F32_TYPE, 0),
                                                  tensor("b", [4], F32_TYPE, 0)], ONE)
    yield "valid-empty-among-huge", one_tensor([46, 2**43, 2**63, 0], data=b"")
    yield "valid-noncanonical-codes", file([ARCHITECTURE], [tensor("two", [256], 35, 0), tensor("one", [256], 34, 96)],
                                           (b"\xff" * 64 + HALF_ONE).ljust(96, b"\0") + b"\xff" * 52 + HALF_ONE)
    yield "valid-tensor-scale", scaled(struct.pack("<f", 0.5))
    yield "valid-packed", packed()
    yield "valid-mixed", mixed()

    yield "bad-no-bytes", b""
    yield "bad-magic", b"GGML" + file()[4:]
    yield "bad-version-0", file(version=0)
    yield "bad-version-1", file(version=1)
    yield "bad-version-4", file(version=4)
    yield "bad-big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    yield "bad-truncated-version", b"GGUF\x03\x00"
    yield "bad-truncated-counts", file()[:20]

    yield "bad-key-count-huge", file([ARCHITECTURE], key_count=HUGE)
    yield "bad-key-count", file([ARCHITECTURE], key_count=4)
    yield "bad-key-count-one-more", file([ARCHITECTURE], key_count=2)
    yield "bad-tensor-count-huge", file([ARCHITECTURE], tensor_count=HUGE)
    yield "bad-tensor-count", file([ARCHITECTURE], tensor_count=3)
    yield "bad-tensor-count-one-more", file([ARCHITECTURE], tensor_count=1)

    yield "bad-key-length-huge", with_key(text("some.key", HUGE) + u32(U32) + u32(1))
    yield "bad-key-length-wraps", with_key(text("some.key", 2**64 - 60) + u32(U32) + u32(1))
    yield "bad-key-length", with_key(text("some.key", 1000) + u32(U32) + u32(1))
    yield "bad-key-empty", with_key(key("", U32, 1))
    yield "bad-key-too-long", with_key(key("k" * 65536, U32, 1))
    yield "bad-key-nul", with_key(key("a\0b", U32, 1))
    yield "bad-key-utf8-continuation", with_key(key(b"a\x80b", U32, 1))
    yield "bad-key-utf8-overlong", with_key(key(b"a\xc0\xafb", U32, 1))
    yield "bad-key-utf8-overlong-3", with_key(key(b"a\xe0\x80\xafb", U32, 1))
    yield "bad-key-utf8-surrogate", with_key(key(b"a\xed\xa0\x80b", U32, 1))
    yield "bad-key-utf8-too-large", with_key(key(b"a\xf4\x90\x80\x80b", U32, 1))
    yield "bad-key-utf8-cut", with_key(key(b"a\xe2\x82", U32, 1))
    yield "bad-key-duplicate", file([ARCHITECTURE, key("a", U32, 1), key("b", U32, 1), key("a", U32, 2)])
    yield "bad-key-control-bytes", with_key(key("\x1b[2Jhidden", 99, b""))

    yield "bad-value-type", with_key(key("some.key", 13, bytes(8)))
    yield "bad-value-type-negative", with_key(key("some.key", HUGE >> 32, bytes(8)))
    yield "bad-value-truncated", with_key(key("some.key", U64, bytes(4)))
    yield "bad-value-type-truncated", with_key(text("some.key") + b"\x04\x00")
    yield "bad-string-length-huge", with_key(key("some.key", STRING, text("abc", HUGE)))
    yield "bad-string-length", with_key(key("some.key", STRING, text("abc", 4)))
    yield "bad-bool", with_key(key("some.key", BOOL, 2))
    yield "bad-bool-in-array", with_key(array("some.key", BOOL, [0, 1, 255]))
    yield "bad-array-count-huge", with_key(array("some.key", U8, [1, 2], HUGE))
    yield "bad-array-count-wraps", with_key(array("some.key", U64, [1, 2], 2**61 + 1))
    yield "bad-array-count", with_key(array("some.key", U32, [1, 2], 3))
    yield "bad-array-count-truncated", with_key(text("some.key") + u32(ARRAY) + u32(U8) + bytes(4))
    yield "bad-array-strings-count", with_key(array("some.key", STRING, ["a", "b"], 3))
    yield "bad-array-string-length", with_key(text("some.key") + u32(ARRAY) + u32(STRING) + u64(2) + text("a") +
                                              text("b", HUGE))
    yield "bad-array-type", with_key(text("some.key") + u32(ARRAY) + u32(77) + u64(1) + bytes(8))
    yield "bad-array-nested", with_key(text("some.key") + u32(ARRAY) + u32(ARRAY) + u64(1) + u32(U8) + u64(1) + b"\1")
    yield "bad-array-nested-deep", with_key(text("some.key") + u32(ARRAY) + (u32(ARRAY) + u64(1)) * 200)

    yield "bad-alignment-0", aligned(0)
    yield "bad-alignment-24", aligned(24)
    yield "bad-alignment-large", aligned(2**21)
    yield "bad-alignment-2-31", aligned(2**31)
    yield "bad-alignment-type", aligned(32, U64)
    yield "bad-alignment-array", file([array("general.alignment", U32, [32])])

    yield "bad-dims-5", one_tensor([1, 1, 1, 1, 4])
    yield "bad-dims-huge", file([ARCHITECTURE], [text("a") + u32(HUGE >> 32) + u64(4) * 4 + u32(0) + u64(0)], ONE)
    yield "bad-elements-wrap-to-0", one_tensor([2**32, 2**32])
    yield "bad-elements-wrap-to-4", one_tensor([2**62 + 1, 4])
    yield "bad-elements-wrap-late", one_tensor([2**20, 2**20, 2**20, 2**20])
    yield "bad-elements-negative", one_tensor([2**64 - 4])
    yield "bad-bytes-wrap", one_tensor([2**62 + 4])
    yield "bad-blocks-wrap", one_tensor([2**63, 2**3], Q4_0)
    yield "bad-type-unknown", one_tensor([4], 99)
    yield "bad-type-removed", one_tensor([32], 4)
    yield "bad-type-never-stored", one_tensor([256], 15)
    yield "bad-type-negative", one_tensor([4], HUGE >> 32)
    yield "bad-row-not-whole-blocks", one_tensor([48], Q4_0)
    yield "bad-scalar-of-blocks", one_tensor([], Q4_0)
    yield "bad-tensor-name-empty", one_tensor([4], name="")
    yield "bad-tensor-name-long", one_tensor([4], name="n" * 64)
    yield "bad-tensor-name-nul", one_tensor([4], name="a\0b")
    yield "bad-tensor-name-utf8", one_tensor([4], name=b"\xff")
    yield "bad-tensor-name-length", file([ARCHITECTURE], [text("a", HUGE) + u32(1) + u64(4) + u32(0) + u64(0)], ONE)
    yield "bad-tensor-duplicate", file([ARCHITECTURE], [tensor("a", [4], F32_TYPE, 0), tensor("a", [4], F32_TYPE, 32)],
                                       ONE + ONE)
    cut = file([ARCHITECTURE], [tensor("a", [4], F32_TYPE, 0)], alignment=1)
    yield "bad-tensor-truncated-name", cut[:-29]
    yield "bad-tensor-truncated-n-dims", cut[:-22]
    yield "bad-tensor-truncated-shape", cut[:-14]
    yield "bad-tensor-truncated-type", cut[:-10]
    yield "bad-tensor-truncated-offset", cut[:-1]

    yield "bad-offset-unaligned", two_tensors(0, 16)
    yield "bad-offset-first", one_tensor([4], offset=32, data=ONE + ONE)
    yield "bad-offset-beyond", two_tensors(0, 2**20)
    yield "bad-offset-wraps", two_tensors(0, 2**64 - 32)
    yield "bad-offset-overlap", two_tensors(0, 0)
    yield "bad-offset-hole", two_tensors(0, 64, ONE + ONE + ONE)
    yield "bad-offset-order", two_tensors(32, 0)
    yield "bad-offset-of-empty", one_tensor([0], offset=2**40)
    yield "bad-size", one_tensor([16])
    yield "bad-size-sum", file([ARCHITECTURE], [tensor("a", [2**61], F32_TYPE, 0), tensor("b", [2**61], F32_TYPE, 2**63)],
                               ONE)
    yield "bad-size-second", two_tensors(0, 32, ONE + ONE[:8])
    yield "bad-fork-type", two_tensors(0, 64, bytes(96), Q4_0, (32,))
    yield "bad-fork-type-36", file([ARCHITECTURE], [tensor("a", [128], 36, 0), tensor("b", [4], F32_TYPE, 96)], bytes(128))
    yield "bad-tail-missing", one_tensor([128], 36, data=bytes(32))
    yield "bad-tail-wraps", one_tensor([2**63 + 2**62, 2**2], 36)
    yield "bad-fork-type-last", one_tensor([32], Q4_0, data=bytes(64))
    yield "bad-trailing-bytes", one_tensor([4], data=ONE + b"MZ")
    yield "bad-trailing-bytes-without-tensors", with_key(key("a", U32, 1)) + bytes(64)
    yield "bad-no-data", one_tensor([4], data=b"")
    yield "bad-no-padding", one_tensor([0], data=b"", alignment=1)

    yield "scale-nan", one_tensor([32], Q4_0, data=(HALF_NAN + bytes(16)).ljust(32, b"\0"))
    yield "scale-infinite", one_tensor([256], 35, data=(bytes(64) + HALF_INF).ljust(96, b"\0"))
    yield "scale-minimum-nan", one_tensor([32], 3, data=(HALF_ONE + HALF_NAN + bytes(16)).ljust(32, b"\0"))
    yield "scale-k-nan", one_tensor([256], 11, data=(bytes(108) + HALF_NAN).ljust(128, b"\0"))
    yield "scale-k-minimum-nan", one_tensor([256], 12, data=(HALF_ONE + HALF_NAN + bytes(140)).ljust(160, b"\0"))
    yield "scale-mxfp4-nan", one_tensor([32], 39, data=(b"\xff" + bytes(16)).ljust(32, b"\0"))
    yield "scale-mxfp4-large", one_tensor([32], 39, data=(b"\xfe" + b"\x77" * 16).ljust(32, b"\0"))
    yield "scale-of-tensor-nan", one_tensor([128], 36, data=(bytes(32) + FLOAT_NAN).ljust(64, b"\0"))
    yield "scale-beside-nan", scaled(FLOAT_NAN)
    yield "scale-beside-large", scaled(struct.pack("<f", 3e38))
    yield "scale-beside-two", scaled(ONE[:8], count=2)
    yield "scale-beside-type", scaled(HALF_ONE, F16_TYPE)
    yield "scale-value-nan", one_tensor([4], data=floats(1, 2, float("nan"), 4))

    yield "packed-layout-version", packed(version=2)
    yield "packed-no-version", file([ARCHITECTURE, array("edgerazor.tensor.names", STRING, ["w"])])
    yield "packed-no-formats", file([ARCHITECTURE, key("edgerazor.layout_version", U32, 1),
                                     array("edgerazor.tensor.names", STRING, ["w"])])
    yield "packed-names-not-strings", file([ARCHITECTURE, key("edgerazor.layout_version", U32, 1),
                                            array("edgerazor.tensor.names", U32, [1])])
    yield "packed-fewer-formats", packed(formats=())
    yield "packed-fewer-rows", packed(rows=())
    yield "packed-more-cols", packed(cols=(4, 4))
    yield "packed-missing-tensor", packed(names=("v",))
    yield "packed-twice", packed(names=("w", "w"), formats=("ternary2_row",) * 2, rows=(16, 16), cols=(4, 4))
    yield "packed-plain-type", packed(kind=F32_TYPE, dims=(32,))
    yield "packed-two-dims", packed(dims=(64, 2))
    yield "packed-no-rows", packed(rows=(0,))
    yield "packed-shape-wraps", packed(rows=(2**32,), cols=(2**32,))
    yield "packed-unknown-format", packed(formats=("ternary9_row",))
    yield "packed-size", packed(rows=(17,))
    yield "packed-size-wraps", packed(rows=(2**62,), cols=(3,))
    yield "packed-mixed-no-runs", mixed(runs=0)
    yield "packed-mixed-runs", mixed(runs=2**61)
    yield "packed-mixed-run-order", mixed(first=1)
    yield "packed-mixed-header", mixed(size=32)
    yield "packed-mixed-parts", mixed(size=256)
    yield "packed-mixed-size", mixed(size=384)
    yield "packed-dense-format", packed(formats=("f32",))
    yield "packed-group-too-large", packed(formats=("ternary2_row",), rows=(1,), cols=(65540,), dims=(16448,))


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.gguf"):
        old.unlink()
    for name, content in seeds():
        (folder / f"{name}.gguf").write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1])
