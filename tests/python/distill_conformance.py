"""The published Python package `edgerazor` beside ours: losses with gradients, and the selection of layers.

    python3 distill_conformance.py <distill_cases program> [folder of the package] [seed]

The package's own modules compute each case with PyTorch in double precision from float32 inputs, ours in parity mode.
Both sum in double, so what may differ is the rounding of our gradient to float32, EdgeRazor (Python)'s ln k (a float32), and
the order of sums: 1e-6 of the value, and of the largest entry of a gradient. The modules are loaded one by one, because
the package as a whole also wants transformers, which its losses do not use.
"""
import importlib
import importlib.metadata
import json
import logging
import pathlib
import subprocess
import sys
import types

try:
    import torch
except ImportError as error:
    print(f"skipped: PyTorch is not installed ({error})")
    sys.exit(0)

TOLERANCE = 1e-6
REDUCTIONS = ("sum", "mean", "batch_mean", "none")


def load(folder):
    """The package's modules of losses, layer selection, configurations and routers."""
    util = folder / "edgerazor" / "kd" / "util"
    if not (util / "distill_function.py").exists():
        print(f"skipped: {folder} holds no edgerazor package")
        sys.exit(0)
    package = types.ModuleType("reference")
    package.__path__ = [str(util)]
    sys.modules["reference"] = package
    try:
        return tuple(importlib.import_module(f"reference.{name}")
                     for name in ("distill_function", "layer_select", "distill_config", "moe_loss"))
    except ImportError as error:
        print(f"skipped: the edgerazor package can't be loaded ({error})")
        sys.exit(0)


class Cases:
    """Cases for our program, and beside each what the package says."""

    def __init__(self, reference, selection, config, router, seed):
        self.reference, self.selection, self.config, self.router = reference, selection, config, router
        self.random = torch.Generator().manual_seed(seed)
        self.cases, self.expected = [], []

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.random)

    def labels(self, samples, tokens, classes, kind):
        if kind == "none":
            return None
        labels = torch.randint(0, classes, (samples, tokens), generator=self.random)
        if kind == "padded":
            labels[torch.rand(samples, tokens, generator=self.random) < 0.4] = -100
            labels[0, 0] = 0
        if kind == "padded sample":
            labels[-1] = -100
        return labels

    def add_loss(self, kind, loss, student, teacher, labels, reduction, temperature=1.0, confidence_k=16):
        function = {"forward": "compute_kld_forward", "reverse": "compute_kld_reverse", "mse": "compute_mse"}
        config = self.config.LossConfig(
            temperature=temperature, use_entropy=loss != "label", confidence_k=confidence_k, reduction=reduction)
        inputs = student.double().requires_grad_(True)
        compute = getattr(self.reference, function.get(loss, "compute_kld_confidence"))
        value = compute(inputs, teacher.double(), labels, config)
        samples, tokens = student.shape[0], student.shape[-2]
        heads = student.shape[1] if student.dim() == 4 else 1
        upstream = []
        if reduction == "none":
            weights = self.normal(samples, tokens)
            upstream = weights.flatten().tolist()
            # Ours is one value a token: the sum over heads, or over features.
            value = value.sum(1) if kind == "attention" else value.sum(-1) if kind == "hidden" else value
            (value * weights.double()).sum().backward()
        else:
            value.backward()
        self.cases.append({
            "kind": kind, "loss": loss, "samples": samples, "tokens": tokens, "heads": heads,
            "cols": student.shape[-1], "student": student.flatten().tolist(), "teacher": teacher.flatten().tolist(),
            "labels": [] if labels is None else labels.flatten().tolist(), "reduction": reduction,
            "temperature": temperature, "confidence_k": confidence_k, "upstream": upstream,
            "sum_heads": reduction in ("sum", "none") or (reduction == "mean" and labels is not None)})
        self.expected.append({"value": value.detach().flatten(), "gradient": inputs.grad.flatten()})

    def add_logits(self):
        for loss in ("forward", "reverse", "entropy", "label"):
            for reduction in REDUCTIONS:
                for padding in ("full", "padded", "padded sample", "none"):
                    for scale, temperature, k in ((0.01, 1.0, 16), (1.0, 1.0, 5), (3.0, 2.0, 16), (30.0, 1.0, 16),
                                                  (1.0, 0.05, 2), (2.0, 0.5, 64)):
                        shape = (3, 7, 101)
                        teacher = scale * self.normal(*shape)
                        student = teacher + 0.5 * scale * self.normal(*shape)
                        labels = self.labels(*shape, padding)
                        self.add_loss("logits", loss, student, teacher, labels, reduction, temperature, k)

    def add_attention(self):
        for loss in ("forward", "reverse", "entropy"):
            for reduction in REDUCTIONS:
                for padding in ("full", "padded", "none"):
                    # EdgeRazor (Python)'s gamma weighs heads one by one only where its masks have the shape for it.
                    shape = (2, 4, 6, 9)
                    student = (2 * self.normal(*shape)).softmax(-1)
                    teacher = (2 * self.normal(*shape)).softmax(-1)
                    self.add_loss("attention", loss, student, teacher, self.labels(2, 6, 9, padding), reduction)

    def add_hidden(self):
        for reduction in REDUCTIONS:
            for padding in ("full", "padded", "none"):
                shape = (3, 7, 50)
                student, teacher = self.normal(*shape), self.normal(*shape)
                self.add_loss("hidden", "mse", student, teacher, self.labels(3, 7, 9, padding), reduction)

    def add_router(self):
        for scale in (0.1, 1.0, 10.0):
            logits = scale * self.normal(2, 9, 17)
            inputs = logits.double().requires_grad_(True)
            value = self.router.router_z_loss_func(inputs)
            value.backward()
            self.cases.append({"kind": "router", "loss": "router_z", "samples": 2, "tokens": 9, "heads": 1, "cols": 17,
                               "student": logits.flatten().tolist(), "teacher": [], "labels": [],
                               "reduction": "mean", "upstream": []})
            self.expected.append({"value": value.detach().flatten(), "gradient": inputs.grad.flatten()})

    def add_selections(self):
        for metric in ("cosine_similarity", "l2", "variance"):
            for top_k in (1, 3, 20):
                states = [self.normal(13, 40)]
                for _ in range(8):
                    step = torch.rand(1, generator=self.random)
                    states.append(states[-1] * (0.8 + 0.4 * step) + step * self.normal(13, 40))
                chosen = self.selection.resolve_layer_indices_adaptive(
                    tuple(state.double().unsqueeze(0) for state in states), metric, top_k)
                self.cases.append({"kind": "adaptive", "metric": metric, "top_k": top_k, "rows": 13, "cols": 40,
                                   "hidden_states": [state.flatten().tolist() for state in states]})
                self.expected.append(chosen)
        for layers in (1, 2, 7, 28):
            for choices in (["low"], ["mid"], ["high"], [0], [-1], ["low", "mid", "high"],
                            [0, -1, "mid", layers - 1, -layers]):
                self.cases.append({"kind": "fixed", "layers": layers, "choices": choices})
                self.expected.append(self.selection.resolve_layer_indices(
                    choices, layers, "loss", logging.getLogger("reference")))


def difference(case, ours, theirs):
    """What differs, in words, or nothing."""
    if isinstance(theirs, list):
        return None if ours == theirs else f"{ours}, expected {theirs}"
    value = torch.tensor(ours["values"] if case["reduction"] == "none" else [ours["value"]], dtype=torch.float64)
    gradient = torch.tensor(ours["gradient"], dtype=torch.float64)
    for what, a, b in (("value", value, theirs["value"]), ("gradient", gradient, theirs["gradient"])):
        error, size = (a - b).abs().max().item(), b.abs().max().item()
        if not error <= TOLERANCE * size + 1e-12:
            return f"{what} off by {error:.3g} of {size:.3g}"
    return None


def main():
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    program = sys.argv[1]
    if len(sys.argv) >= 3 and sys.argv[2]:
        folder = pathlib.Path(sys.argv[2])
    else:
        try:
            folder = pathlib.Path(importlib.metadata.distribution("edgerazor").locate_file(""))
        except importlib.metadata.PackageNotFoundError as error:
            print(f"skipped: the edgerazor package is not installed ({error})")
            return
    seed = int(sys.argv[3]) if len(sys.argv) == 4 else torch.seed() % 2**31
    torch.set_num_threads(1)
    cases = Cases(*load(folder), seed)
    cases.add_logits()
    cases.add_attention()
    cases.add_hidden()
    cases.add_router()
    cases.add_selections()
    run = subprocess.run([program], input=json.dumps(cases.cases), capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{run.stderr}seed {seed}")
    answers = json.loads(run.stdout)
    failures = 0
    for case, ours, theirs in zip(cases.cases, answers, cases.expected, strict=True):
        wrong = difference(case, ours, theirs)
        if wrong:
            failures += 1
            named = {key: case[key] for key in ("kind", "loss", "metric", "reduction", "temperature", "confidence_k",
                                                "choices", "layers", "top_k") if key in case}
            labels = case.get("labels")
            print(f"{named}, {'no labels' if not labels else str(labels.count(-100)) + ' padded'}: {wrong}")
    if failures:
        sys.exit(f"{failures} of {len(answers)} cases differ from the edgerazor package (seed {seed})")
    print(f"{len(answers)} cases agree with the edgerazor package (seed {seed})")


if __name__ == "__main__":
    main()
