"""Reads what our safetensors writer and our exports wrote with the code of the projects whose layouts they are, and
compares every float.

    python3 check_safetensors.py <write_safetensors_sample program>

The packages' own modules are loaded one by one, because as a whole they want more than their unpacking does. Nothing may
differ in a single bit.
"""
import ast
import importlib
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import types

try:
    import safetensors
    import torch
except ImportError as error:
    print(f"skipped: safetensors or PyTorch is not installed ({error})")
    sys.exit(0)

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32, "I64": torch.int64,
          "U8": torch.uint8}


def package_folder(name):
    spec = importlib.util.find_spec(name)
    if spec is None:
        print(f"skipped: {name} is not installed")
        sys.exit(0)
    return pathlib.Path(next(iter(spec.submodule_search_locations)))


def package(name, folder):
    """A package of that name whose modules are the folder's, without running its __init__."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


def read_folder(folder):
    """Every tensor, by the index, with the safetensors package."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    tensors, total = {}, 0
    for file in sorted(set(index["weight_map"].values())):
        for name, entry in safetensors.deserialize((folder / file).read_bytes()):
            if index["weight_map"][name] != file:
                sys.exit(f"{name} is in {file}, not where the index says")
            data = bytearray(entry["data"])
            total += len(data)
            tensors[name] = torch.frombuffer(data, dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if set(tensors) != set(index["weight_map"]) or total != index["metadata"]["total_size"]:
        sys.exit("the index and the files differ")
    return tensors


def compressed_tensors(tensors, name):
    folder = package_folder("compressed_tensors") / "compressors" / "pack_quantized"
    package("unpacking", folder)
    helpers = importlib.import_module("unpacking.helpers")
    shape = torch.Size(tensors[f"{name}.weight_shape"].tolist())
    codes = helpers.unpack_from_int32(tensors[f"{name}.weight_packed"], 4, shape).to(torch.float32)
    scale = tensors[f"{name}.weight_scale"].to(torch.float32)
    return codes * scale.repeat_interleave(shape[1] // scale.shape[1], dim=1)


def load_gptq():
    folder = package_folder("auto_round_extension")
    package("auto_round_extension", folder)
    package("auto_round_extension.torch", folder / "torch")
    sys.modules["transformers"] = types.ModuleType("transformers")  # for its packing alone
    folder = package_folder("auto_round")
    package("auto_round", folder)
    package("auto_round.utils", folder / "utils")
    sys.modules["auto_round.utils"].get_packing_device = None
    return importlib.import_module("auto_round_extension.torch.qlinear_torch_zp").QuantLinear


def gptq(tensors, name, loaded=[]):
    if not loaded:
        loaded.append(load_gptq())
    rows, groups = tensors[f"{name}.scales"].shape[1], tensors[f"{name}.scales"].shape[0]
    cols = tensors[f"{name}.g_idx"].shape[0]
    linear = loaded[0](4, cols // groups, cols, rows, bias=False, g_idx=True)
    for part in ("qweight", "qzeros", "scales", "g_idx"):
        if getattr(linear, part).shape != tensors[f"{name}.{part}"].shape:
            sys.exit(f"{name}.{part} has another shape than AutoRound's layer")
        setattr(linear, part, tensors[f"{name}.{part}"])
    linear.scales = linear.scales.to(torch.float32)  # products in float32, as ours
    return linear(torch.eye(cols)).T


def bitnet(tensors, name):
    """unpack_weights of transformers, whose decorator wants a newer PyTorch."""
    source = (package_folder("transformers") / "integrations" / "bitnet.py").read_text()
    wanted = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "VALUES_PER_ITEM":
            wanted.append(node)
        if isinstance(node, ast.FunctionDef) and node.name == "unpack_weights":
            node.decorator_list = []
            wanted.append(node)
    space = {"torch": torch}
    exec(compile(ast.Module(wanted, []), "bitnet.py", "exec"), space)
    levels = space["unpack_weights"](tensors[f"{name}.weight"], torch.float32)
    return levels * tensors[f"{name}.weight_scale"].to(torch.float32)


def check_edgerazor(tensors, block=64):
    """Its quantizers find our levels again, and with a level whose product is exact (1, 2, 4) so is the scale."""
    package("quantizers", package_folder("edgerazor") / "qat" / "util")
    functions = importlib.import_module("quantizers.quant_function")
    weight = tensors["edgerazor.int4.weight"].to(torch.float32)
    again = functions.weight_quant_uniform_symmetric_absmax_per_block_int4(weight, block_size=block)
    blocks = weight.reshape(-1, block)
    levels = (again.reshape(-1, block) / (blocks.abs().amax(dim=1, keepdim=True) / 7)).round()
    exact = torch.isin(levels.abs(), torch.tensor([1.0, 2.0, 4.0]))
    scales = torch.where(exact, blocks / levels, torch.zeros(())).amax(dim=1, keepdim=True)
    require_same("edgerazor.int4", (levels * scales).reshape(weight.shape), tensors["edgerazor.int4.expected"])
    weight = tensors["edgerazor.ternary.weight"]
    again = functions.weight_quant_uniform_symmetric_clip_per_block_int1_58(weight, block_size=block)
    if not torch.equal(again.sign(), weight.sign()):
        sys.exit("edgerazor.ternary has other levels than EdgeRazor (Python) finds")
    for name in ("edgerazor.int4", "edgerazor.ternary"):
        require_same(name, tensors[f"{name}.weight"], tensors[f"{name}.expected"].to(torch.bfloat16))


def require_same(name, theirs, expected):
    if theirs.shape != expected.shape or not torch.equal(theirs, expected):
        sys.exit(f"{name}: {int((theirs != expected).sum())} of {expected.numel()} floats differ")


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, folder], check=True)
        tensors = read_folder(pathlib.Path(folder))
    check_edgerazor(tensors)
    for decode, names in ((compressed_tensors, ("ct.group", "ct.channel", "ct.mixed")), (bitnet, ("bitnet.layer",)),
                                          (gptq, ("gptq.group", "gptq.ternary"))):
        for name in names:
            require_same(name, decode(tensors, name), tensors[f"{name}.expected"])
    require_same("plain.bf16", tensors["plain.bf16"], tensors["plain.expected"].to(torch.bfloat16))
    require_same("plain.f16", tensors["plain.f16"], tensors["plain.expected"].to(torch.float16))
    print(f"{len(tensors)} tensors agree")


if __name__ == "__main__":
    main(sys.argv[1])
