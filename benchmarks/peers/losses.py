"""EAKLD and its gradient, ours beside PyTorch's, on one thread: prints the ratio.

    python3 benchmarks/peers/losses.py <losses program> [rounds]

Needs PyTorch (Debian: python3-torch). 16 tokens of 151,936 float32 logits a call, cycling through memory that no cache
holds; both sides see logits of the same distribution. The two are timed in turn, round after round, in processor time
of their own process (one thread each), because machines are shared; the ratio is that of the medians, and each round's
own ratios are shown as a range. PyTorch is given two ways to write the loss: the one trainers write (log_softmax), and
EdgeRazor (Python)'s (logarithms of clamped softmax, both divergences each by its own call).
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


class Torch:
    """Seconds a call of loss and backward, over rows that are not in a cache."""

    def __init__(self, distance):
        generator = torch.Generator().manual_seed(1)
        self.teacher = 2.5 * torch.randn(ALL_TOKENS, VOCABULARY, generator=generator)
        for token in range(ALL_TOKENS):
            for word in range(6):
                self.teacher[token, (token * 7919 + word * 20011) % VOCABULARY] = 8 + 0.05 * token - word
        self.student = self.teacher + distance * torch.randn(ALL_TOKENS, VOCABULARY, generator=generator)
        self.begin = 0

    def seconds(self, loss, calls):
        start = time.process_time()
        for _ in range(calls):
            rows = slice(self.begin, self.begin + TOKENS)
            student = self.student[rows].detach().requires_grad_(True)
            loss(student, self.teacher[rows]).backward()
            self.begin = (self.begin + TOKENS) % ALL_TOKENS
        return (time.process_time() - start) / calls


def ours(program, name):
    """Seconds a call, and the part of the triad's bandwidth, of one benchmark."""
    out = subprocess.run([program, f"--benchmark_filter=^entropy_aware_kl/{name}$", "--benchmark_min_time=0.3",
                          "--benchmark_format=json"], check=True, capture_output=True, text=True).stdout
    run = json.loads(out[out.index("{"):])["benchmarks"][0]
    assert run["time_unit"] == "ns"
    return run["cpu_time"] * 1e-9, run["of_triad"]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    program, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 5
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, one thread; EAKLD and gradient, {TOKENS} x {VOCABULARY} float32, "
          f"{rounds} rounds, ms of processor time a call (median)")
    for name, distance in (("gradient", 0.7), ("close", 0.1)):
        peer = Torch(distance)
        times = {"edgerazor": [], "torch, log_softmax": [], "torch, as EdgeRazor (Python)": []}
        parts = []
        for loss in (eakld, reference_eakld):
            peer.seconds(loss, 1)  # the first call allocates
        for _ in range(rounds):
            seconds, part = ours(program, name)
            times["edgerazor"].append(seconds)
            parts.append(part)
            times["torch, log_softmax"].append(peer.seconds(eakld, 2))
            times["torch, as EdgeRazor (Python)"].append(peer.seconds(reference_eakld, 2))
        del peer
        own = times["edgerazor"]
        print(f"\n{name}: student {distance} from the teacher in standard deviation of logits")
        print(f"  {'edgerazor':<26}{1e3 * statistics.median(own):8.2f} ms"
              f"   {100 * statistics.median(parts):.0f} % of the triad's bandwidth")
        for which, seconds in times.items():
            if which == "edgerazor":
                continue
            ratios = [b / a for a, b in zip(own, seconds)]
            print(f"  {which:<26}{1e3 * statistics.median(seconds):8.2f} ms   "
                  f"{statistics.median(seconds) / statistics.median(own):.1f} times ours "
                  f"({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
