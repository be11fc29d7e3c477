"""Writes tests/data/gguf_package.gguf with the `gguf` Python package: metadata of every type, and for every tensor type we
decode a tensor of random blocks beside what the package makes of it ("<type>.decoded", F32).

    python3 make_gguf_data.py tests/data/gguf_package.gguf
"""
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, GGUFValueType, GGUFWriter
from gguf.quants import dequantize

ROWS, COLS = 2, 512
# Where the float16 scales of a block lie.
SCALES = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q6_K: [208], Type.TQ1_0: [52],
          Type.TQ2_0: [64]}


def random_blocks(rng, kind):
    """Every code is random, also those no quantizer writes; scales are finite, of both signs, some subnormal or zero."""
    block, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (ROWS * COLS // block, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scales = rng.normal(0, 0.05, len(blocks)).astype(np.float16)
        scales[0], scales[1] = 0, np.float16(6e-8)
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(ROWS, -1)


def main(path):
    rng = np.random.default_rng(2605)
    writer = GGUFWriter(path, "test")
    writer.add_uint8("value.u8", 200)
    writer.add_int8("value.i8", -100)
    writer.add_uint16("value.u16", 60000)
    writer.add_int16("value.i16", -30000)
    writer.add_uint32("value.u32", 4000000000)
    writer.add_int32("value.i32", -2000000000)
    writer.add_uint64("value.u64", 2**63 + 1)
    writer.add_int64("value.i64", -2**62)
    writer.add_float32("value.f32", 0.1)
    writer.add_float64("value.f64", 0.1)
    writer.add_bool("value.true", True)
    writer.add_bool("value.false", False)
    writer.add_string("value.string", "Grüße")
    writer.add_array("array.string", ["a", "", "ccc"])
    writer.add_array("array.i32", [1, -2, 3])
    writer.add_array("array.f32", [0.5, -0.25])
    writer.add_array("array.bool", [True, False, True])
    writer.add_key_value("array.u64", [1, 2**40], GGUFValueType.ARRAY, GGUFValueType.UINT64)
    for kind in SCALES:
        blocks = random_blocks(rng, kind)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        writer.add_tensor(kind.name + ".decoded", dequantize(blocks, kind))
    values = rng.normal(0, 1, (ROWS, COLS)).astype(np.float32)
    halves = values.astype(np.float16)
    halves[0, :3] = [6e-8, 65504, -0.0]
    writer.add_tensor("F16", halves)
    writer.add_tensor("F16.decoded", halves.astype(np.float32))
    bfloats = (values.view(np.uint32) >> 16).astype(np.uint16)
    writer.add_tensor("BF16", bfloats.view(np.uint8), raw_dtype=Type.BF16)
    writer.add_tensor("BF16.decoded", (bfloats.astype(np.uint32) << 16).view(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
