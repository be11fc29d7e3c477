"""Reads what our GGUF writer wrote with an independent reader, the `gguf` Python package, and compares every float.

    python3 check_gguf.py <write_gguf_sample program> [model.gguf]

With a model, each of its tensors is also decoded by us and by the package. Nothing may differ in a single bit.
"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from gguf import GGMLQuantizationType as Type, GGUFReader
    from gguf.quants import dequantize
except ImportError as error:
    print(f"skipped: the gguf package is not installed ({error})")
    sys.exit(0)

METADATA = {
    "general.architecture": "sample", "general.alignment": 64, "general.quantization_version": 2,
    "value.u8": 200, "value.i8": -100, "value.u16": 60000, "value.i16": -30000, "value.u32": 4000000000,
    "value.i32": -2000000000, "value.u64": 2**63 + 1, "value.i64": -2**62, "value.f32": float(np.float32(0.1)),
    "value.f64": 0.1, "value.bool": True, "value.string": "Grüße", "array.string": ["a", "", "ccc"],
    "array.i32": [1, -2, 3], "array.f32": [0.5, -0.25],
    "edgerazor.layout_version": 1, "edgerazor.tensor.names": ["packed"], "edgerazor.tensor.formats": ["int4_g64"],
    "edgerazor.tensor.rows": [3], "edgerazor.tensor.cols": [768],
}
TYPES = {"blocks.Q8_0", "blocks.Q4_0", "blocks.Q4_1", "blocks.Q5_0", "blocks.Q5_1", "blocks.Q2_K", "blocks.Q3_K",
         "blocks.Q4_K", "blocks.Q5_K", "blocks.Q6_K", "blocks.IQ4_NL", "blocks.IQ4_XS", "blocks.MXFP4", "blocks.NVFP4",
         "blocks.TQ1_0", "blocks.TQ2_0", "exported.1", "exported.2", "exported.3", "exported.4", "exported.5", "exported.7"}


def decoded(tensor):
    """The package's floats of a tensor, as bits."""
    floats = dequantize(tensor.data, tensor.tensor_type)
    return np.ascontiguousarray(floats, np.float32).ravel().view(np.uint32)


def require_same(name, ours, theirs):
    if ours.shape != theirs.shape or not np.array_equal(ours, theirs):
        sys.exit(f"tensor {name}: {np.count_nonzero(ours != theirs)} of {theirs.size} floats differ")


def check_sample(path):
    reader = GGUFReader(path)
    found = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    if found != METADATA:
        sys.exit(f"metadata differs: {set(map(str, found.items())) ^ set(map(str, METADATA.items()))}")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    pairs = {name for name in tensors if name + ".decoded" in tensors}
    if pairs != TYPES or set(tensors) - pairs - {name + ".decoded" for name in pairs} != {"packed"}:
        sys.exit(f"unexpected tensors: {sorted(tensors)}")
    for name in pairs:
        if tensors[name].shape.tolist() != [768, 3]:
            sys.exit(f"tensor {name}: shape {tensors[name].shape}")
        if name.startswith("blocks.") and tensors[name].tensor_type.name != name.removeprefix("blocks."):
            sys.exit(f"tensor {name}: type {tensors[name].tensor_type.name}")
        require_same(name, decoded(tensors[name + ".decoded"]), decoded(tensors[name]))
    packed = tensors["packed"]
    if packed.tensor_type != Type.I8 or packed.data_offset % 64 != 0:
        sys.exit("the packed tensor is not I8 at a multiple of 64 bytes")
    return len(pairs)


def check_model(model, path):
    theirs, ours = GGUFReader(model), GGUFReader(path)
    copied = {key: field.contents() for key, field in ours.fields.items()}
    for key, field in theirs.fields.items():
        if not key.startswith("GGUF.") and key not in ("general.file_type", "general.alignment"):
            if copied.get(key) != field.contents():
                sys.exit(f"key {key} was not copied as it is")
    if [tensor.name for tensor in theirs.tensors] != [tensor.name for tensor in ours.tensors]:
        sys.exit("the tensors differ")
    for a, b in zip(ours.tensors, theirs.tensors):
        require_same(a.name, decoded(a), decoded(b))
    return len(ours.tensors)


def main(program, model=None):
    with tempfile.TemporaryDirectory() as folder:
        sample = pathlib.Path(folder) / "sample.gguf"
        subprocess.run([program, sample], check=True)
        print(f"{check_sample(sample)} tensors of every type agree with the gguf package")
        if model:
            whole = pathlib.Path(folder) / "model.gguf"
            subprocess.run([program, model, whole], check=True)
            print(f"{check_model(model, whole)} tensors of {pathlib.Path(model).name} agree with the gguf package")


if __name__ == "__main__":
    main(*sys.argv[1:])
