// SPDX-License-Identifier: Apache-2.0
// Losses over a large vocabulary: value and gradient of 16 tokens of 151,936 float logits, one
// thread, from DRAM.
//
//   <loss>/gradient   value and gradient; student and teacher some way apart, as early in training
//   <loss>/close      the same, KL of about 0.005 nats
//   <loss>/model      the same, logits as a language model has them late in training: a tail by
//                     Zipf's law below a token of probability 0.6 to 0.99, a student within 0.1 to 0.5
//   <loss>/value      the value alone, as in gradient
//
// of_triad: the part of the speed at which this process reads two rows and writes one, for the rows
// that a loss must read and write (12 bytes an element; 8 for the value alone; one row less for
// cross-entropy). Calls cycle through 262 MB, so no row is in a cache when it is read. The answer
// is compared with plain loops in double before anything is timed. Time is the thread's own, for a
// busy machine's sake. EDGERAZOR_LOSS_ENGINE names the instruction set, as find_loss_engine does;
// no flag does.
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
#include <edgerazor/distill/engine.hpp>
#include <edgerazor/distill/generalized_js.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/skew_kl.hpp>
#include <edgerazor/distill/total_variation.hpp>

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

enum class logits { apart, close, of_model };

/// 144 tokens of a teacher, a student and a gradient.
struct batch_memory {
  std::vector<float> student, teacher, gradient;
  std::vector<std::int64_t> labels;

  batch_memory()
      : student(all_tokens * vocabulary), teacher(student.size()), gradient(student.size()) {
    for (std::size_t t = 0; t < all_tokens; ++t)
      labels.push_back(static_cast<std::int64_t>(t * 7919 % vocabulary));
  }
  void hold(logits kind) {
    if (filled_ && kind == kind_) return;
    filled_ = true, kind_ = kind;
    for (std::size_t t = 0; t < all_tokens; ++t) {
      const std::span<float> row = std::span{teacher}.subspan(t * vocabulary, vocabulary);
      kind == logits::of_model ? fill_as_model(row, t) : fill_with_noise(row, t);
      // The divergence of noise is about half the distance's square.
      const float apart = kind == logits::apart   ? 0.7f
                          : kind == logits::close ? 0.1f
                                                  : 0.1f + 0.2f * static_cast<float>(t % 3);
      for (std::size_t i = 0; i < vocabulary; ++i) {
        const std::size_t at = t * vocabulary + i;
        student[at] = teacher[at] + apart * noise(at + (std::uint64_t{1} << 40));
      }
    }
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
  /// A few words stand out, by 8 to 15 nats: entropies of some 0.5 to 6 nats.
  static void fill_with_noise(std::span<float> row, std::size_t t) {
    for (std::size_t i = 0; i < vocabulary; ++i) row[i] = 2.5f * noise(t * vocabulary + i);
    for (std::size_t k = 0; k < 6; ++k) {
      row[(t * 7919 + k * 20011) % vocabulary] =
          8 + 0.05f * static_cast<float>(t) - static_cast<float>(k);
    }
  }
  /// The r-th likeliest of the others has about r^-1.3 of their mass.
  static void fill_as_model(std::span<float> row, std::size_t t) {
    constexpr double tops[] = {0.6, 0.9, 0.99};
    constexpr std::size_t step = 65537;  // prime, so that ranks are spread over all columns
    double rest = 0;
    for (std::size_t r = 1; r < vocabulary; ++r) {
      const std::size_t at = (t * 7919 + r * step) % vocabulary;
      row[at] = 9 - 1.3f * std::log(static_cast<float>(r)) + 0.5f * noise(t * vocabulary + r);
      rest += std::exp(static_cast<double>(row[at]));
    }
    const double top = tops[t / 3 % 3];
    row[t * 7919 % vocabulary] = static_cast<float>(std::log(rest * top / (1 - top)));
  }

  logits kind_ = logits::apart;
  bool filled_ = false;
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
void run(benchmark::State& state, const Loss& loss, logits kind, bool with_gradient,
         std::size_t rows_read) {
  batch_memory& m = memory();
  m.hold(kind);
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
  const auto with = [=](logits kind, bool gradient) {
    return [=](benchmark::State& state) {
      if (gradient) {
        memory().hold(kind);
        check(name.c_str(), loss, term_of);
      }
      run(state, loss, kind, gradient, rows_read);
    };
  };
  benchmark::RegisterBenchmark((name + "/gradient").c_str(), with(logits::apart, true));
  if (rows_read == 2)
    benchmark::RegisterBenchmark((name + "/close").c_str(), with(logits::close, true));
  benchmark::RegisterBenchmark((name + "/model").c_str(), with(logits::of_model, true));
  benchmark::RegisterBenchmark((name + "/value").c_str(), with(logits::apart, false));
}

/// What EDGERAZOR_LOSS_ENGINE names; the fastest where it names none.
const er::loss_engine* engine() {
  const char* const name = std::getenv("EDGERAZOR_LOSS_ENGINE");
  return name == nullptr ? nullptr : er::find_loss_engine(name);
}

er::token_batch tokens_of(const batch_memory& m, std::size_t begin) {
  return {.labels = m.labels_of(begin), .how = er::reduction::mean, .engine = engine()};
}

/// A loss of student and teacher as a function of the memory and the first token.
template <class Loss>
auto of_teacher(const Loss& loss) {
  return [=](batch_memory& m, std::size_t begin, bool with_gradient) {
    return loss(m.students(begin), m.teachers(begin), tokens_of(m, begin),
                with_gradient ? m.gradients(begin) : er::matrix_view<float>{})
        .value;
  };
}

/// The entropy-aware gamma of the first batch.
double gamma_of(const batch_memory& m) {
  double entropy = 0;
  for (std::size_t t = 0; t < batch_tokens; ++t)
    for (const double p : softmax(m.teachers(0).row(t))) entropy -= p * std::log(p) / batch_tokens;
  return std::clamp(1 - entropy / std::log(16.0), 0.0, 1.0);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  batch_memory& m = memory();

  // Of the logits that are checked: made anew with the first column of the first token.
  static double gamma = 0;
  add("entropy_aware_kl", of_teacher(er::entropy_aware_kl{}),
      [](std::size_t token, std::size_t column, double p, double q) {
        if (token == 0 && column == 0) gamma = gamma_of(memory());
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
  add("skew_kl", of_teacher(er::skew_kl{}), [](std::size_t, std::size_t, double p, double q) {
    constexpr double alpha = static_cast<double>(0.1f);
    const double mixed = alpha * p + (1 - alpha) * q;
    return term{p * std::log(p / mixed), -(1 - alpha) * p / mixed};
  });
  add("total_variation", of_teacher(er::total_variation{}),
      [](std::size_t, std::size_t, double p, double q) {
        return term{std::fabs(p - q) / 2, q > p ? 0.5 : -0.5};
      });
  const std::vector<std::int64_t>& labels = m.labels;
  add(
      "cross_entropy",
      [](batch_memory& all, std::size_t begin, bool with_gradient) {
        return er::cross_entropy{}(all.students(begin), tokens_of(all, begin),
                                   with_gradient ? all.gradients(begin) : er::matrix_view<float>{})
            .value;
      },
      [&labels](std::size_t t, std::size_t i, double, double q) {
        return labels[t] == static_cast<std::int64_t>(i) ? term{-std::log(q), -1 / q} : term{0, 0};
      },
      1);
  benchmark::RunSpecifiedBenchmarks();
}
