"""Loads the folders that write_folders wrote with Hugging Face's transformers.

    python3 check_transformers.py <write_folders> [<model>]

Every weight is the same bit for bit, no tensor is missing or left over, the text has the same tokens, the divergence of
the logits is that of two orders of float32 sums, and the same tokens follow. With a model, a GGUF file, it is that one's
bf16 folder, otherwise small models of three architectures, as numbers and packed. What a package that is not installed
loads is left out, and said.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1",
                  TOKENIZERS_PARALLELISM="false")
try:
    import numpy
    import torch
    import transformers
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.integrations import bitnet
except ImportError as error:
    print(f"skipped: transformers or PyTorch is not installed ({error})")
    sys.exit(0)
transformers.utils.logging.disable_progress_bar()

# Nats. Sums of some hundred products in another order differ by 1e-6 or so of a logit, and the divergence is quadratic in
# that.
MOST = 1e-8

# Linear layers of BitNet round their activations to int8. They do not where our logits come from.
bitnet.ActQuant = types.SimpleNamespace(apply=lambda activations: activations)


def weights_of(model, kind):
    """Every matrix and vector as float32, by name."""
    result = {}
    for name, tensor in model.state_dict().items():
        if not name.endswith((".weight", ".bias")):
            continue
        result[name] = tensor.float()
    if kind == "bitnet":  # levels, and one scale a layer
        for name, tensor in model.state_dict().items():
            if name.endswith(".weight_scale"):
                result[name.removesuffix("_scale")] = result[name.removesuffix("_scale")] * tensor.float()
    return result


def divergence(logits, ours):
    p, q = torch.log_softmax(ours.double(), -1), torch.log_softmax(logits.double(), -1)
    return (p.exp() * (p - q)).sum(-1).max().item()


def check(folder):
    kind = folder.name.split(".", 1)[1]
    wanted = json.loads(folder.with_name(folder.name + ".json").read_text())
    model, loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if loaded[what]:
            sys.exit(f"{folder.name}: {what} {loaded[what]}")
    tokens = torch.tensor([wanted["tokens"]])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer(wanted["text"], add_special_tokens=False).input_ids != wanted["tokens"]:
        sys.exit(f"{folder.name}: other tokens")
    torch.nn.Module.float(model)  # of what was packed some tensors keep their type, and transformers' own float() refuses
    with torch.no_grad():
        model(tokens)  # compressed-tensors decompresses at the first call
    expected = load_file(folder.with_name(folder.name + ".f32") / "model.safetensors")
    weights = weights_of(model, kind)
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    if set(weights) != set(expected):
        sys.exit(f"{folder.name}: other tensors: {set(weights) ^ set(expected)}")
    for name, tensor in expected.items():
        if not torch.equal(weights[name], tensor):
            sys.exit(f"{folder.name}: {name} differs in {int((weights[name] != tensor).sum())} of {tensor.numel()}")
    with torch.no_grad():
        logits = model(tokens).logits[0]
        ours = torch.from_numpy(numpy.fromfile(f"{folder}.logits", numpy.float32)).reshape(logits.shape)
        apart = divergence(logits, ours)
        if not apart < MOST:
            sys.exit(f"{folder.name}: the logits are {apart:.3g} nats apart")
        new = len(wanted["following"])
        following = model.generate(tokens, do_sample=False, max_new_tokens=new, min_new_tokens=new)[0, tokens.shape[1]:]
    if following.tolist() != wanted["following"]:
        sys.exit(f"{folder.name}: the tokens that follow are {following.tolist()}, here {wanted['following']}")
    print(f"{folder.name}: {len(expected)} tensors, {apart:.1e} nats")


def main(arguments):
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([arguments[0], name, *arguments[1:]], check=True)
        folders = sorted(path.with_suffix("") for path in pathlib.Path(name).glob("*.json"))
        for folder in folders:
            try:
                check(folder)
            except (ImportError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "GPU is required" not in str(error):
                    raise
                print(f"{folder.name}: left out: {error}")
        print(f"{len(folders)} folders")


if __name__ == "__main__":
    main(sys.argv[1:])
