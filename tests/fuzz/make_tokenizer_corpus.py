"""Writes the seed files of the tokenizers' fuzzer, one a feature, small so that the fuzzer is quick.

    python3 make_tokenizer_corpus.py tests/data/tokenizers tests/fuzz/corpus/tokenizer
"""
import json
import pathlib
import sys

# Letters of the texts that the fuzzer encodes, and what a family needs beside them.
LETTERS = set("the lamp isl")


def small(tokenizer):
    """With few tokens, renumbered, and the merges whose parts and results are among them."""
    model = tokenizer["model"]
    plain = {"\u0120", "\u2581", "\u00c3", "\u00a9", "<unk>", "<0x0A>", "<0xC3>", "<0xA9>"}
    wanted = [token for token in model["vocab"] if token in plain or set(token.replace("\u0120", " ")) <= LETTERS][:60]
    known = set(wanted)
    merges = [merge if isinstance(merge, list) else merge.split(" ") for merge in model["merges"]]
    kept = [merge for merge in merges if merge[0] in known and merge[1] in known and "".join(merge) in known][:30]
    model["merges"] = [" ".join(merge) for merge in kept] if isinstance(model["merges"][0], str) else kept
    ids = {token: i for i, token in enumerate(wanted)}
    model["vocab"] = ids
    for i, added in enumerate(tokenizer.get("added_tokens", [])[:4]):
        added["id"] = ids.setdefault(added["content"], len(wanted) + i)
    tokenizer["added_tokens"] = tokenizer.get("added_tokens", [])[:4]
    return tokenizer


def main(source, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for path in sorted(pathlib.Path(source).glob("*.json")):
        if path.stem == "expected":
            continue
        tokenizer = small(json.loads(path.read_text()))
        (folder / path.name).write_text(json.dumps(tokenizer))
        if path.stem == "smollm2":  # merges in the other form, and a token that takes its spaces
            tokenizer["model"]["merges"] = [merge.split(" ") for merge in tokenizer["model"]["merges"]
                                            if isinstance(merge, str)] or tokenizer["model"]["merges"]
            tokenizer["added_tokens"].append({"id": 70, "content": "<x>", "lstrip": True, "rstrip": True,
                                              "normalized": True, "special": False, "single_word": False})
            (folder / "spaces.json").write_text(json.dumps(tokenizer))
            tokenizer["model"]["ignore_merges"] = True
            tokenizer["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}
            (folder / "whole-words.json").write_text(json.dumps(tokenizer))


if __name__ == "__main__":
    main(*sys.argv[1:])
