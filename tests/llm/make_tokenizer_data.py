"""Writes tests/data/tokenizer.json: what two independent implementations make of some texts.

    python3 tests/llm/make_tokenizer_data.py SmolLM2.gguf > tests/data/tokenizer.json

Words come from the published regular expressions, run by the Python package `regex`; tokens from llama.cpp (package
llama-cpp-python), with a vocabulary of the 256 bytes, the first merges of SmolLM2 (Apache-2.0) and four control tokens.
Code points are limited to Unicode 13, on which all agree.
"""

import json
import os
import random
import sys
import tempfile

import gguf
import regex
from llama_cpp import Llama

MERGES = 1500
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im|>"]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


def words(rule, text):
    if rule == "smollm":
        pieces = regex.findall(r"\p{N}|\P{N}+", text)
        return [word for piece in pieces for word in regex.findall(GPT2, piece)]
    pattern = {"gpt-2": GPT2, "qwen2": LLAMA % "", "llama-bpe": LLAMA % "{1,3}"}[rule]
    return regex.findall(pattern, text)


def make_texts():
    texts = ["Hello world", "Hello, world! It's 2024 and I'm 37.5% sure we'll've won 1,000,000 games.",
             "  leading spaces\n\n\nnewlines\r\n\ttabs \t mixed   end   ", "naïve café Ünïcödé ÅÄÖ straße",
             "日本語のテキスト、中文字符。한국어 텍스트", "emoji 😀👩‍👩‍👧‍👦🇫🇷 done",
             "a1b2c3 x=3*4; // c++ code\nint main() { return 0; }", "'s't're've'm'll'd 'S'T'RE I'M DON'T they'Ll'",
             "١٢٣ ४५६ Ⅷ ½ ² 12 345 6789", "\u00a0nbsp\u2003em\u3000ideo\u2028ls\u0085nel",
             "zero\u200bwidth\u200d \ufeff bom", "العربية עברית हिन्दी ไทย", "a" * 50, " " * 40, "!?!?...---___***",
             "\n", " ", "", "x\u0301 combining e\u0308", "\U0001d4b3\U0001d4b4 math \U00010348 gothic",
             "\ue000 private \U000f0000", "https://example.com/a?b=c&d=e#f user@mail.org",
             "The\u2019s \u201cquoted\u201d \u2014 dash", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
             "<|endoftext|><|im_end|> x <|im <|im|> |>", "Tab\tTab\t\tx  1 2  3\n \n  y"]
    pools = [range(32, 127), range(0xa0, 0x250), range(0x391, 0x3ca), range(0x5d0, 0x5eb), range(0x904, 0x93a),
             range(0x2000, 0x2030), range(0x3041, 0x3097), range(0x4e00, 0x4f00), range(0x1f600, 0x1f640),
             [9, 10, 13, 32, 32, 32], range(48, 58), range(97, 123)]
    random.seed(7)
    for _ in range(60):
        stretches = []
        for _ in range(random.randint(1, 10)):
            pool = random.choice(pools)
            stretches.append("".join(chr(random.choice(pool)) for _ in range(random.randint(1, 7))))
        texts.append("".join(stretches))
    return texts


def main():
    fields = gguf.GGUFReader(sys.argv[1]).fields
    all_tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()[:MERGES]
    byte_tokens = [t for t, kind in zip(all_tokens, types) if kind == 1 and len(t) == 1]
    alphabet = [chr(c) for c in list(range(0x21, 0x7f)) + list(range(0xa1, 0xad)) + list(range(0xae, 0x144))]
    assert set(byte_tokens) <= set(alphabet)
    tokens = alphabet + [merge.replace(" ", "", 1) for merge in merges] + CONTROL
    kinds = [1] * (len(tokens) - len(CONTROL)) + [3] * len(CONTROL)
    assert len(set(tokens)) == len(tokens)

    texts = make_texts()
    cases = [{"text": text, "words": {}, "plain": {}, "control_tokens": {}} for text in texts]
    for rule in ["gpt-2", "smollm", "llama-bpe", "qwen2"]:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "vocabulary.gguf")
            writer = gguf.GGUFWriter(path, "llama")
            writer.add_context_length(512)
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre(rule)
            writer.add_token_list(tokens)
            writer.add_token_types(kinds)
            writer.add_token_merges(merges)
            writer.add_add_bos_token(False)
            writer.add_eos_token_id(tokens.index("<|endoftext|>"))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.close()
            model = Llama(path, vocab_only=True, verbose=False)
            for case in cases:
                text = case["text"]
                case["words"][rule] = words(rule, text)
                assert "".join(case["words"][rule]) == text
                for name, special in [("plain", False), ("control_tokens", True)]:
                    case[name][rule] = model.tokenize(text.encode(), add_bos=False, special=special)
    json.dump({"source": "tests/llm/make_tokenizer_data.py: packages regex and llama-cpp-python; merges of SmolLM2",
               "tokens": tokens, "types": kinds, "merges": merges, "cases": cases}, sys.stdout, separators=(",", ":"))
    print()


main()
