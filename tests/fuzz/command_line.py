"""Random command lines for llm and qad: options, values and order. Whatever is asked, a program ends
with exit code 0, 1 or 2, says why in one printable sentence where that is not 0, takes no more
memory than stated here, and leaves no file but what it was asked for, also when a signal ends it.

usage: command_line.py --seconds N [--seed N] [--llm PROGRAM] [--qad PROGRAM]
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

MEMORY = 1 << 30  # bytes, of any process: the models are of some megabytes
PATIENCE = 3  # seconds; then a signal ends what has been asked for too much

NUMBERS = ["0", "1", "2", "3", "4", "7", "16", "64", "256"]
REALS = ["0", "0.5", "1", "0.05", "1e-3", "2"]
WRONG = [
    "", "-1", "-0", "+1", " 1", "1 ", "nan", "-nan", "inf", "-inf", "1e400", "1e-400", "0,7", "1.5", "0x10", "010",
    "4294967295", "4294967296", "9223372036854775808", "18446744073709551615", "18446744073709551616",
    "99999999999999999999999999", "1e9", "--", "-", "=", "a=b", "*=f16", "*norm*=f16", "%n%s", "\x1b[2J", "\u00e9",
    "\u202e", b"\xff\xfe", "x" * 5000, ".", "/", "/nowhere/x", "out.gguf/x", "y" * 255, "z" * 256,
]  # fmt: skip


def option(name, *good):
    return (name, list(good))


QUANTIZE = [
    option("--group", "64", "32", "4", "5", "65536"),
    option("--ternary", "ternary5", "ternary3", "ternary2"),
    option("--override", "*ffn_down*=int8_g64", "token_embd*=f16", "blk.0.*=int4_g64", "*=f32"),
]
RUN = [option("--threads", "1", "2", "4"), option("--kernel", "scalar", "generic", "avx2")]
RECIPES = ["w4", "w2_79", "w1_88_a8_kv8", "w1_58", "f16", "none", "w16", "f32"]
MODELS = ["../demo.gguf"] * 6 + ["../packed.gguf", "../text.txt", "../cut.gguf", "missing.gguf", "."]
TIMED = [
    option("--prompt-tokens", "4", "16"),
    option("--tokens", "1", "4"),
    option("--rounds", "1", "2"),
    option("--json", "out.json", "old.json"),
    *RUN,
]
RACE = [option("--recipes", "w4", "w4,w1_58", "f16", "w4,,w4"), *TIMED, *QUANTIZE]
COMPARED = [
    option("--model", *MODELS), option("--text", "../short.txt", "../text.txt"), option("--window", "2", "64"),
    option("--keep", "keep"), option("--also", "../packed.gguf", "../text.txt"),
]  # fmt: skip
LLM = {
    "generate": [
        option("--model", *MODELS), option("--prompt", "Once upon a time", "", "<|im_start|>", "\x00"[:0]),
        option("--raw"), option("--chat"), option("--template", "chatml"), option("--system", "Be brief."),
        option("--tokens", "1", "8", "0"), option("--context", "64", "2048"), option("--temperature", *REALS),
        option("--top-k", *NUMBERS), option("--top-p", "0.5", "1"), option("--seed", *NUMBERS),
        option("--recipe", *RECIPES), *QUANTIZE, *RUN,
    ],
    "convert": [
        option("--model", *MODELS), option("--recipe", *RECIPES), option("--output", "out.gguf", "old.gguf"),
        option("--export", "f32", "f16", "q4_0", "tq1_0", "tq2_0"), *QUANTIZE, *RUN,
    ],
    "compare": [*COMPARED, *RACE],
    "compare ": [  # of calibrated models
        *COMPARED, option("--methods", "rtn", "auto,gptq", "best"), option("--rotate"), option("--bits", "5", "4,6", "0.1", "5,,5"),
        option("--group", "64", "5"), option("--calibration-text", "../text.txt", "../short.txt"),
        option("--calibration-windows", "1", "2"), option("--gradients", "../gradients.safetensors", "../text.txt"), *TIMED,
    ],
    "calibrate": [
        option("--model", *MODELS), option("--bits", "5", "3.5", "1", "16"), option("--output", "out.gguf", "old.gguf"),
        option("--method", "auto", "rtn", "mse", "gptq", "refined", "awq", "hqq", "tacq", "slim", "quarot", "best"), option("--rotate"),
        option("--gradients", "../gradients.safetensors", "../text.txt"),
        option("--text", "../text.txt", "../short.txt"), option("--windows", "1", "2"),
        option("--window", "16", "32"), option("--group", "4", "64", "5"), option("--picture", "out.svg", "old.gguf"),
        option("--json", "out.json", "old.json"), *RUN,
    ],
    "off-grid": [
        option("--model", *MODELS), option("--seed", *NUMBERS), option("--output", "out.gguf", "old.gguf"),
    ],
    "bench": [option("--model", *MODELS), *RACE],
    "make-demo-model": [option(None, "out.gguf", "old.gguf")],
}  # fmt: skip

SHAPE = [
    option("--vocabulary", "300", "257"), option("--hidden", "32", "64"), option("--layers", "1", "2"),
    option("--heads", "2", "3"), option("--kv-heads", "1", "2"), option("--head-size", "16", "15"),
    option("--feed-forward", "32"), option("--context", "16"),
]  # fmt: skip
TEXT = [option("--text", "../text.txt"), option("--split-block", "200"), option("--split-every", "5", "2")]
TRAINING = [
    option("--steps", "1", "3"), option("--learning-rate", *REALS), option("--warmup", *REALS),
    option("--weight-decay", *REALS), option("--clip", *REALS), option("--sequences", "2", "4", "3"),
    option("--seed", *NUMBERS), option("--shards", "2", "1", "4"), option("--resume-with-learning-rate", *REALS),
    option("--optimizer-state", "float", "bfloat16", "half"),
]  # fmt: skip
KEEPING = [
    option("--checkpoint-every", "1", "2"), option("--validation-tokens", "0", "64"), option("--evaluate-every", "0", "1"),
]  # fmt: skip
SOURCES = ["../chats.jsonl", "../chats.jsonl=2", "../text.txt=1", "../short.txt", "../chats.topk", "../broken.jsonl"]
PREPARING = [option("--system", "Be brief.", ""), option("--longest", "16", "64")]
QAD = {
    "teacher": [option("--folder", "run"), *TEXT, *SHAPE, *TRAINING, option("--threads", "1", "2"), *KEEPING],
    "student": [
        option("--folder", "run"), option("--teacher", "../teacher", "missing"),
        option("--method", "qad", "qat", "rounding", "onebit", "bwta", "lbllm", "zeroqat"), option("--no-output-norms"),
        option("--recipe", "w1_88", "w4", "int3", "none"),
        option("--logits-loss", "eakld", "forward", "reverse", "none"), option("--no-features"),
        option("--task-weight", *REALS), option("--logits-weight", *REALS), option("--feature-weight", *REALS),
        option("--confidence-k", "2", "16", "1"), option("--feature-layers", "1", "9"), option("--config", "../config.yaml"),
        option("--gamma-scope", "batch", "sample", "token"), option("--feature-form", "relative", "absolute", "cosine"),
        option("--window", "16", "8", "17"), option("--group", "64", "32"), option("--tokens", "64", "0"),
        option("--recompute"), option("--profile"), *TRAINING, option("--threads", "1", "2"), *KEEPING,
    ],
    "student ": [  # of a model that exists, from data
        option("--folder", "run"), option("--teacher", *MODELS), option("--start", *MODELS), option("--method", "qad", "qat"),
        option("--recipe", "w4", "w1_58", "calibrated"), option("--data", *SOURCES), option("--top-k-file", "../chats.topk", "../text.txt"),
        option("--window", "16", "32"), option("--recompute"), *PREPARING, *TEXT, *TRAINING, *KEEPING,
    ],
    "write-data": [
        option("--model", *MODELS), option("--input", "../chats.jsonl", "../short.txt", "../broken.jsonl", "missing"),
        option("--output", "out.jsonl", "old.gguf"), option("--top-k", *NUMBERS), option("--keep-answers"), option("--raw"),
        option("--thinking"), option("--temperature", *REALS), option("--sample-top-k", *NUMBERS),
        option("--top-p", "0.5", "1"), option("--min-p", "0", "0.1"), option("--tokens", "4", "8"),
        option("--context", "64", "128"), option("--seed", *NUMBERS), option("--limit", "1", "2"),
        option("--sequences", "1", "4"), option("--recipe", *RECIPES), *PREPARING, *RUN,
    ],
    "inspect-data": [
        option(None, *SOURCES), option("--model", *MODELS), option("--window", "16", "64"), *PREPARING,
    ],
    "evaluate": [
        option(None, "../teacher", "missing"), option("--recipe", "w4", "none"), option("--window", "16", "8", "17"),
        option("--write-text", "out.txt"), option("--threads", "1", "2"),
    ],
    "export": [
        option(None, "../teacher", "missing"), option("--output", "out.gguf", "old.gguf"),
        option("--recipe", "w1_58", "int2", "none"), option("--name", "mine"),
    ],
    "gradients": [
        option("--model", *MODELS), option("--text", "../short.txt", "../text.txt"), option("--windows", "1", "2"),
        option("--window", "16", "8", "1"), option("--output", "out.safetensors", "old.gguf"), option("--threads", "1", "2"),
    ],
    "plot": [
        option(None, "../teacher", "../teacher", "missing"), option("--output", "out.svg", "old.gguf"),
        option("--what", "divergence", "perplexity"), option("--title", "A run"),
    ],
    "inspect-config": [option(None, "../config.yaml", "../text.txt", "missing"), option("--layers", "1", "28")],
}  # fmt: skip
# Without these a sub-command ends at once: they are nearly always given, with a value that makes sense.
NEEDED = {"--model", "--methods", "--input", "--output", "--folder", "--teacher", "--prompt", None}
# Without these there is much work to do.
CHEAP = {"--calibration-windows", "--tokens", "--rounds", "--prompt-tokens", "--recipes", "--steps", "--text", "--windows", "--window"}
ALLOWED = {"out.safetensors", "out.jsonl", "out.topk", "out.jsonl.partial", "out.topk.partial", "out.gguf", "out.json", "out.svg", "out.txt", "old.gguf", "old.json", "keep", "run", "tmp"}


def value(rng, good):
    return rng.choice(good) if rng.random() < 0.85 else rng.choice(WRONG)


def command_line(rng, commands):
    table = rng.choice(list(commands))
    command = table.strip()  # a table of its own may stand for some options of a command
    words = []
    for name, good in commands[table]:
        needed = name in NEEDED
        if rng.random() > (0.97 if needed or name in CHEAP else 0.3):
            continue
        for _ in range(2 if rng.random() < 0.02 else 1):
            given = name if rng.random() < 0.99 or name is None else name[:-1]
            if not good:
                words.append([given])
                continue
            text = rng.choice(good) if needed and rng.random() < 0.9 else value(rng, good)
            if given is None:
                words.append([text])
            elif rng.random() < 0.1 and isinstance(text, str):
                words.append([given + "=" + text])
            else:
                words.append([given, text] if rng.random() < 0.99 else [given])
    rng.shuffle(words)
    if rng.random() < 0.03:
        command = rng.choice(["", "genrate", "--help", "--version", "x" * 5000, "\x1b[2J", command.upper()])
    result = [command] + [w for pair in words for w in pair]
    if rng.random() < 0.02:
        rng.shuffle(result)
    return [w if isinstance(w, bytes) else w.encode() for w in result]


class Finding(Exception):
    pass


def default_signals():
    """In the child: a shell that runs jobs in the background has some of them ignored."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


def run(program, arguments, folder, rng):
    """Runs once; raises Finding where a rule is broken. Returns the exit code."""
    work = os.path.join(folder, "work")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(os.path.join(work, "tmp"))
    for old in ("old.gguf", "old.json"):
        with open(os.path.join(work, old), "w") as file:
            file.write("old")
    name = os.path.basename(program)
    environment = dict(os.environ, TMPDIR=os.path.join(work, "tmp"), ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=0")
    with open(os.path.join(folder, "stdout"), "wb") as out, open(os.path.join(folder, "stderr"), "wb") as err:
        process = subprocess.Popen([program.encode(), *arguments], cwd=work, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=err, preexec_fn=default_signals)  # fmt: skip
        ended, deadline = None, time.time() + (rng.choice([0.05, 0.2, 0.5]) if rng.random() < 0.05 else PATIENCE)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if ended is None and time.time() > deadline:
                ended = rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
                os.kill(process.pid, ended)
            elif ended is not None and time.time() > deadline + PATIENCE:
                os.kill(process.pid, signal.SIGKILL)
                os.wait4(process.pid, 0)
                raise Finding(f"{ended.name} did not end it")
            time.sleep(0.002)
        process.returncode = os.waitstatus_to_exitcode(status)
    code = process.returncode
    with open(os.path.join(folder, "stderr"), "rb") as file:
        said = file.read()
    if ended is not None and code == -ended:
        time.sleep(0.05)  # children that it has left
    elif code not in (0, 1, 2):
        raise Finding(f"exit code {code}")
    if usage.ru_maxrss * 1024 > MEMORY:
        raise Finding(f"{usage.ru_maxrss} KiB of memory")
    for sign in (b"AddressSanitizer", b"runtime error", b"terminate called", b"std::", b"json.exception"):
        if sign in said:
            raise Finding(f"it says {sign.decode()}")
    if code in (1, 2):
        lines = said.decode("utf-8").splitlines()  # which UTF-8 it must be
        if not lines or not lines[-1].startswith(name + ": ") or len(lines[-1]) < len(name) + 10:
            raise Finding("no sentence")
        if any(ord(c) < 32 or ord(c) == 127 for c in lines[-1]) or len(lines[-1]) > 5000:
            raise Finding("a sentence that is not printable, or long")
    left = set(os.listdir(work))
    # The names of WRONG may be asked for too, as an output; "." as the folder of a run.
    if any(word == b"." or word.endswith(b"=.") for word in arguments):
        left -= {"options.json", "checkpoint", "log.csv", "loss.svg", "result.json"}
    strange = {f for f in left - ALLOWED if os.fsencode(f) not in b" ".join(arguments) or f.startswith(".edgerazor")}
    if strange:
        raise Finding(f"left behind: {sorted(strange)}")
    if os.listdir(os.path.join(work, "tmp")):
        raise Finding(f"left in the temporary folder: {os.listdir(os.path.join(work, 'tmp'))}")
    if code != 0:
        for f in ("out.gguf", "out.json"):
            if f in left and ended is None:
                raise Finding(f"{f} was written, and the program failed")
    for old in ("old.gguf", "old.json"):
        with open(os.path.join(work, old), "rb") as file:
            if file.read(3) != b"old" and (code != 0 and ended is None):
                raise Finding(f"{old} was changed, and the program failed")
    if code == 2 and left - {"old.gguf", "old.json", "tmp"}:
        raise Finding(f"not understood, and yet written: {sorted(left)}")
    return code


def prepare(folder, llm, qad):
    with open(os.path.join(folder, "text.txt"), "w") as file:
        for line in range(300):
            file.write("The wind and the water went slowly over the stones of hill number %d.\n" % (line * 37 % 101))
    with open(os.path.join(folder, "short.txt"), "w") as file:
        file.write("A lighthouse has one task, and the sea has many. " * 20)
    if llm:
        subprocess.run([llm, "make-demo-model", "demo.gguf"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([llm, "convert", "--model", "demo.gguf", "--recipe", "w4", "--output", "packed.gguf"],
                       cwd=folder, check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        with open(os.path.join(folder, "demo.gguf"), "rb") as whole, open(os.path.join(folder, "cut.gguf"), "wb") as cut:
            cut.write(whole.read(100_000))
    if qad:
        with open(os.path.join(folder, "chats.jsonl"), "w") as file:
            for line in range(4):
                asked = {"role": "user", "content": f"What is behind hill number {line}?"}
                file.write(json.dumps({"messages": [asked, {"role": "assistant", "content": "The sea, and stones."}]}) + "\n")
        with open(os.path.join(folder, "broken.jsonl"), "w") as file:
            file.write('{"messages": [{"role": "user"}]}\n{')
        if llm:
            subprocess.run([qad, "write-data", "--model", "demo.gguf", "--input", "short.txt", "--output", "told.jsonl", "--raw",
                            "--tokens", "8", "--top-k", "4"], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)  # fmt: skip
            subprocess.run([qad, "gradients", "--model", "demo.gguf", "--windows", "1", "--window", "16", "--output",
                            "gradients.safetensors"], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)  # fmt: skip
            os.rename(os.path.join(folder, "told.topk"), os.path.join(folder, "chats.topk"))
        with open(os.path.join(folder, "config.yaml"), "w") as file:
            file.write("loss_1:\n  loss_function: compute_kld_confidence\n  temperature: 1\n  alpha: 2\n")
        shape = "--vocabulary 300 --hidden 32 --layers 1 --heads 2 --kv-heads 1 --head-size 16 --feed-forward 32 --context 16"
        subprocess.run([qad, "teacher", "--folder", "teacher", "--text", "text.txt", "--split-block", "200", "--split-every",
                        "5", "--steps", "2", *shape.split()], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--llm", default="")
    parser.add_argument("--qad", default="")
    asked = parser.parse_args()
    programs = [(os.path.abspath(p), c) for p, c in ((asked.llm, LLM), (asked.qad, QAD)) if p]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = tempfile.mkdtemp(prefix="command-lines-")
    runs, codes, findings = 0, {}, 0
    print(f"seed {asked.seed}", flush=True)
    try:
        prepare(folder, asked.llm and os.path.abspath(asked.llm), asked.qad and os.path.abspath(asked.qad))
        end = time.time() + asked.seconds
        while time.time() < end and findings < 20:
            rng = random.Random(asked.seed * 1_000_003 + runs)
            program, commands = programs[runs % len(programs)]
            arguments = command_line(rng, commands)
            runs += 1
            try:
                code = run(program, arguments, folder, rng)
                codes[code] = codes.get(code, 0) + 1
            except Finding as finding:
                findings += 1
                with open(os.path.join(folder, "stderr"), "rb") as file:
                    said = file.read()[-600:]
                print(f"run {runs}: {finding}\n  {os.path.basename(program)} {arguments}\n  {said}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{runs} command lines, exit codes {dict(sorted(codes.items()))}, {findings} findings")
    return 1 if findings or runs == 0 else 0


sys.exit(main())
