"""EAKLD, generalized Jensen-Shannon and skew KL with their gradients, ours beside PyTorch's, on one thread: prints
the ratios.

    python3 benchmarks/peers/losses.py <losses program> [rounds]

Needs PyTorch (Debian: python3-torch). 16 tokens of 151,936 float32 logits a call, cycling through memory that no cache
holds; both sides see logits of the same distribution (benchmarks/losses.cpp says which). The two are timed in turn, round after round, in processor time
of their own process (one thread each), because machines are shared; the ratio is that of the medians, and each round's
own ratios are shown as a range. PyTorch is given two ways to write EAKLD: the one trainers write (log_softmax), and EdgeRazor (Python)'s (logarithms of
clamped softmax, both divergences each by its own call); the others as TRL and DistiLLM write them.
"""
import json
import math
import statistics
import subprocess
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    sys.exit(f"skipped: PyTorch is not installed ({error})")

VOCABULARY, TOKENS, ALL_TOKENS, K = 151936, 16, 144, 16


def eakld(student, teacher):
    """As trainers write it: one log_softmax of each."""
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    q, p = log_q.exp(), log_p.exp()
    entropy = -(p * log_p).sum(-1).mean()
    gamma = (1 - entropy / math.log(K)).clamp(0, 1)
    forward = (p * (log_p - log_q)).sum(-1).mean()
    reverse = (q * (log_q - log_p)).sum(-1).mean()
    return gamma * reverse + (1 - gamma) * forward


def reference_eakld(student, teacher):
    """As EdgeRazor (Python) computes it: clamped probabilities, and softmax again for each part."""
    p = F.softmax(teacher, dim=-1)
    entropy = -(p * (p + 1e-8).log()).sum(-1).mean()
    gamma = (1 - entropy / math.log(K)).clamp(0, 1)

    def divergence(of, target):
        log_of = F.softmax(of, dim=-1).clamp(min=1e-8).log()
        log_target = F.softmax(target, dim=-1).clamp(min=1e-8).log()
        return F.kl_div(log_of, log_target, reduction="none", log_target=True).sum(-1).mean()

    return gamma * divergence(teacher, student) + (1 - gamma) * divergence(student, teacher)


def jensen_shannon(student, teacher):
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    half = math.log(0.5)
    log_m = torch.logsumexp(torch.stack([log_q + half, log_p + half]), dim=0)
    of_teacher = F.kl_div(log_m, log_p, reduction="none", log_target=True).sum(-1).mean()
    return 0.5 * of_teacher + 0.5 * F.kl_div(log_m, log_q, reduction="none", log_target=True).sum(-1).mean()


def skew_kl(student, teacher):
    p, q = teacher.softmax(-1), student.softmax(-1)
    return (p * (p.log() - (0.1 * p + 0.9 * q).log())).sum(-1).mean()


class Torch:
    """Seconds a call of loss and backward, over rows that are not in a cache."""

    def __init__(self, kind):
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(ALL_TOKENS, VOCABULARY, generator=generator)
        if kind == "model":
            ranks = torch.arange(1, VOCABULARY + 1, dtype=torch.float32)
            self.teacher = 9 - 1.3 * ranks.log() + 0.5 * noise
            for token in range(ALL_TOKENS):
                top = (0.6, 0.9, 0.99)[token // 3 % 3]
                row = self.teacher[token]
                row[0] = row[1:].logsumexp(0) + math.log(top / (1 - top))
                row.copy_(row[torch.randperm(VOCABULARY, generator=generator)])
        else:
            self.teacher = 2.5 * noise
            for token in range(ALL_TOKENS):
                for word in range(6):
                    self.teacher[token, (token * 7919 + word * 20011) % VOCABULARY] = 8 + 0.05 * token - word
        apart = 0.1 + 0.2 * (torch.arange(ALL_TOKENS) % 3) if kind == "model" else torch.full((ALL_TOKENS,), 0.7)
        self.student = self.teacher + apart[:, None] * torch.randn(ALL_TOKENS, VOCABULARY, generator=generator)
        self.begin = 0

    def seconds(self, loss, calls):
        start = time.process_time()
        for _ in range(calls):
            rows = slice(self.begin, self.begin + TOKENS)
            student = self.student[rows].detach().requires_grad_(True)
            loss(student, self.teacher[rows]).backward()
            self.begin = (self.begin + TOKENS) % ALL_TOKENS
        return (time.process_time() - start) / calls


def ours(program, loss, kind):
    """Seconds a call, and the part of the triad's bandwidth, of one benchmark."""
    out = subprocess.run([program, f"--benchmark_filter=^{loss}/{kind}$", "--benchmark_min_time=0.3",
                          "--benchmark_format=json"], check=True, capture_output=True, text=True).stdout
    run = json.loads(out[out.index("{"):])["benchmarks"][0]
    assert run["time_unit"] == "ns"
    return run["cpu_time"] * 1e-9, run["of_triad"]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    program, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 5
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, one thread; value and gradient, {TOKENS} x {VOCABULARY} float32, "
          f"{rounds} rounds, ms of processor time a call (median)")
    peers = {"entropy_aware_kl": {"log_softmax": eakld, "as EdgeRazor (Python)": reference_eakld},
             "generalized_js": {"as TRL": jensen_shannon}, "skew_kl": {"as DistiLLM": skew_kl}}
    for kind in ("gradient", "model"):
        peer = Torch(kind)
        for name, forms in peers.items():
            own, parts, times = [], [], {form: [] for form in forms}
            for loss in forms.values():
                peer.seconds(loss, 1)  # the first call allocates
            for _ in range(rounds):
                seconds, part = ours(program, name, kind)
                own.append(seconds)
                parts.append(part)
                for form, loss in forms.items():
                    times[form].append(peer.seconds(loss, 2))
            print(f"\n{name}/{kind}")
            print(f"  {'edgerazor':<28}{1e3 * statistics.median(own):8.2f} ms"
                  f"   {100 * statistics.median(parts):.0f} % of the triad's bandwidth")
            for form, seconds in times.items():
                ratios = [b / a for a, b in zip(own, seconds)]
                print(f"  {'PyTorch, ' + form:<28}{1e3 * statistics.median(seconds):8.2f} ms   "
                      f"{statistics.median(ratios):.1f} times ours ({min(ratios):.1f} to {max(ratios):.1f})")
        del peer


if __name__ == "__main__":
    main()
