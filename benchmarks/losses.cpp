// SPDX-License-Identifier: Apache-2.0
// Losses over a large vocabulary: value and gradient of 16 tokens of 151,936 float logits, one
// thread, from DRAM.
//
//   <loss>/gradient   value and gradient; student and teacher some way apart, as early in training
//   <loss>/close      the same, KL of about 0.005 nats, as late in training, where float rows don't suffice
//   <loss>/value      the value alone
//
// of_triad: the part of the speed at which this process reads two rows and writes one, for the rows
// that a loss must read and write (12 bytes an element; 8 for the value alone; one row less for
// cross-entropy). Calls cycle through 262 MB, so no row is in a cache when it is read. The answer
// is compared with plain loops in double before anything is timed. Time is the thread's own, for a
// busy machine's sake. Built for the machine it runs on (EDGERAZOR_BENCHMARK_ARCH), as a trainer
// would be.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "triad_bandwidth.hpp"
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/generalized_js.hpp>
#include <edgerazor/distill/kl.hpp>

namespace er = edgerazor;

namespace {

constexpr std::size_t vocabulary = 151936, batch_tokens = 16, all_tokens = 144;

/// A number of about normal distribution with deviation 1, from a counter: the same whatever order
/// they are asked in.
float noise(std::uint64_t counter) {
  std::uint64_t x = counter * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  float sum = 0;  // of four 16-bit numbers: mean 2, variance 4 / 12
  for (int shift = 0; shift < 64; shift += 16)
    sum += static_cast<float>(x >> shift & 0xffff) / 65536.0f;
  return (sum - 2.0f) * 1.7320508f;
}

/// 144 tokens of a teacher, a student and a gradient.
struct batch_memory {
  std::vector<float> student, teacher, gradient;
  std::vector<std::int64_t> labels;

  batch_memory()
      : student(all_tokens * vocabulary), teacher(student.size()), gradient(student.size()) {
    for (std::size_t i = 0; i < teacher.size(); ++i) teacher[i] = 2.5f * noise(i);
    for (std::size_t t = 0; t < all_tokens; ++t) {
      // A few words stand out, by 8 to 15 nats: entropies of some 0.5 to 6 nats.
      for (std::size_t k = 0; k < 6; ++k)
        teacher[t * vocabulary + (t * 7919 + k * 20011) % vocabulary] =
            8 + 0.05f * static_cast<float>(t) - float(k);
      labels.push_back(static_cast<std::int64_t>(t * 7919 % vocabulary));
    }
    move_student(0.7f);
  }
  /// Student = teacher + distance * noise; the divergence is about half the distance's square.
  void move_student(float distance) {
    if (distance == distance_) return;
    distance_ = distance;
    for (std::size_t i = 0; i < student.size(); ++i)
      student[i] = teacher[i] + distance * noise(i + (std::uint64_t{1} << 40));
  }
  [[nodiscard]] er::matrix_view<const float> students(std::size_t begin) const {
    return {student.data() + begin * vocabulary, batch_tokens, vocabulary};
  }
  [[nodiscard]] er::matrix_view<const float> teachers(std::size_t begin) const {
    return {teacher.data() + begin * vocabulary, batch_tokens, vocabulary};
  }
  er::matrix_view<float> gradients(std::size_t begin) {
    return {gradient.data() + begin * vocabulary, batch_tokens, vocabulary};
  }
  [[nodiscard]] std::span<const std::int64_t> labels_of(std::size_t begin) const {
    return std::span{labels}.subspan(begin, batch_tokens);
  }

 private:
  float distance_ = 0;
};

batch_memory& memory() {
  static batch_memory all;
  return all;
}

std::vector<double> softmax(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> result(logits.size());
  double sum = 0;
  for (std::size_t i = 0; i < result.size(); ++i)
    sum += result[i] = std::exp(static_cast<double>(logits[i]) - largest);
  for (double& x : result) x /= sum;
  return result;
}

/// What each loss is, one column at a time: a value and its derivative with respect to q, p being
/// constant. The gradient in the logits is q_i (d_i - sum of q d).
struct term {
  double value, slope;
};
term forward(double p, double q) { return {p * std::log(p / q), -p / q}; }
term reverse(double p, double q) { return {q * std::log(q / p), std::log(q / p) + 1}; }

term jensen_shannon(double p, double q, double beta) {
  const double m = beta * p + (1 - beta) * q;
  return {beta * p * std::log(p / m) + (1 - beta) * q * std::log(q / m),
          (1 - beta) * std::log(q / m)};
}

/// Fails the program unless the loss's value and gradient of one batch are those of the terms.
template <class Loss, class Term>
void check(const char* name, const Loss& loss, Term&& term_of) {
  batch_memory& m = memory();
  const double value = loss(m, 0, true);
  double expected = 0, largest_error = 0, largest_slope = 0;
  for (std::size_t t = 0; t < batch_tokens; ++t) {
    const std::vector<double> p = softmax(m.teachers(0).row(t)), q = softmax(m.students(0).row(t));
    std::vector<double> slopes(vocabulary);
    double mean = 0;
    for (std::size_t i = 0; i < vocabulary; ++i) {
      const term one = term_of(t, i, p[i], q[i]);
      expected += one.value / batch_tokens;
      slopes[i] = one.slope;
      mean += q[i] * one.slope;
    }
    for (std::size_t i = 0; i < vocabulary; ++i) {
      const double slope = q[i] * (slopes[i] - mean) / batch_tokens;
      largest_error =
          std::max(largest_error, std::fabs(slope - static_cast<double>(m.gradients(0).row(t)[i])));
      largest_slope = std::max(largest_slope, std::fabs(slope));
    }
  }
  if (std::fabs(value - expected) <= 1e-6 * expected && largest_error <= 2e-6 * largest_slope)
    return;
  std::fprintf(stderr, "%s: value %.9g, expected %.9g; gradient off by %.3g of %.3g\n", name, value,
               expected, largest_error, largest_slope);
  std::exit(1);
}

template <class Loss>
void run(benchmark::State& state, const Loss& loss, float distance, bool with_gradient,
         std::size_t rows_read) {
  batch_memory& m = memory();
  m.move_student(distance);
  // Before and after, since what others do on the machine changes.
  double limit = triad_bandwidth(m.student, m.teacher, m.gradient, 4);
  std::size_t begin = 0;
  for (auto _ : state) {
    double value = loss(m, begin, with_gradient);
    benchmark::DoNotOptimize(value);
    begin = (begin + batch_tokens) % all_tokens;
  }
  limit = std::max(limit, triad_bandwidth(m.student, m.teacher, m.gradient, 4));
  const double bytes =
      4.0 * static_cast<double>((rows_read + with_gradient) * batch_tokens * vocabulary);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["B/s"] = benchmark::Counter(bytes, rate, benchmark::Counter::kIs1000);
  state.counters["triad_B/s"] =
      benchmark::Counter(limit, benchmark::Counter::kDefaults, benchmark::Counter::kIs1000);
  state.counters["of_triad"] = benchmark::Counter(bytes / limit, rate);
  state.counters["tokens/s"] = benchmark::Counter(batch_tokens, rate);
}

template <class Loss, class Term>
void add(const std::string& name, const Loss& loss, Term&& term_of, std::size_t rows_read = 2) {
  const bool has_teacher = rows_read == 2;
  memory().move_student(0.1f);
  if (has_teacher) check((name + ", close").c_str(), loss, term_of);
  memory().move_student(0.7f);
  check(name.c_str(), loss, term_of);
  const auto with = [=](float distance, bool gradient) {
    return [=](benchmark::State& state) { run(state, loss, distance, gradient, rows_read); };
  };
  benchmark::RegisterBenchmark((name + "/gradient").c_str(), with(0.7f, true));
  if (has_teacher) benchmark::RegisterBenchmark((name + "/close").c_str(), with(0.1f, true));
  benchmark::RegisterBenchmark((name + "/value").c_str(), with(0.7f, false));
}

/// A loss of student and teacher as a function of the memory and the first token.
template <class Loss>
auto of_teacher(const Loss& loss) {
  return [=](batch_memory& m, std::size_t begin, bool with_gradient) {
    return loss(m.students(begin), m.teachers(begin), m.labels_of(begin), er::reduction::mean,
                with_gradient ? m.gradients(begin) : er::matrix_view<float>{})
        .value;
  };
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  batch_memory& m = memory();

  double entropy = 0;
  for (std::size_t t = 0; t < batch_tokens; ++t)
    for (const double p : softmax(m.teachers(0).row(t))) entropy -= p * std::log(p) / batch_tokens;
  const double gamma = std::clamp(1 - entropy / std::log(16.0), 0.0, 1.0);

  add("entropy_aware_kl", of_teacher(er::entropy_aware_kl{}),
      [=](std::size_t, std::size_t, double p, double q) {
        const term f = forward(p, q), r = reverse(p, q);
        return term{gamma * r.value + (1 - gamma) * f.value,
                    gamma * r.slope + (1 - gamma) * f.slope};
      });
  add("forward_kl", of_teacher(er::forward_kl{}),
      [](std::size_t, std::size_t, double p, double q) { return forward(p, q); });
  add("reverse_kl", of_teacher(er::reverse_kl{}),
      [](std::size_t, std::size_t, double p, double q) { return reverse(p, q); });
  add("generalized_js", of_teacher(er::generalized_js{}),
      [](std::size_t, std::size_t, double p, double q) { return jensen_shannon(p, q, 0.5); });
  const std::vector<std::int64_t>& labels = m.labels;
  add(
      "cross_entropy",
      [](batch_memory& all, std::size_t begin, bool with_gradient) {
        return er::cross_entropy{}(all.students(begin), all.labels_of(begin), er::reduction::mean,
                                   with_gradient ? all.gradients(begin) : er::matrix_view<float>{})
            .value;
      },
      [&labels](std::size_t t, std::size_t i, double, double q) {
        return labels[t] == static_cast<std::int64_t>(i) ? term{-std::log(q), -1 / q} : term{0, 0};
      },
      1);
  m.move_student(0.7f);
  benchmark::RunSpecifiedBenchmarks();
}
