// SPDX-License-Identifier: Apache-2.0
// Hostile losses: values (NaN, infinities, huge, tiny, denormal, nearly equal rows), lengths around
// vectors, blocks and the change from double to float, vocabularies of two lengths, elements of 16
// bits, strides, weights, masks, labels, reductions, temperatures, whole rows and merged pieces,
// parity mode, losses from hidden states, projections and self-relations, against definitions in
// long double.
//
//   hostile_losses [seconds [first seed]]
//
// A case is its seed: a finding prints it, and `hostile_losses 0 SEED` runs that one alone, with
// its rows where HOSTILE_ROWS is set.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "hostile_batch.hpp"
#include "hostile_features.hpp"
#include "hostile_fused.hpp"

namespace {

template <class Loss>
bool is_parity(const Loss& loss) {
  if constexpr (requires { loss.mode; }) return loss.mode == er::loss_mode::parity;
  return false;
}

template <class Loss, class Reference>
void run_pair(const char* name, random_source& random, batch& b, Loss loss, Reference&& of_token) {
  if (b.before.empty()) set_options(random, b);
  const bool parity = is_parity(loss);
  const real given = static_cast<real>(loss.temperature),
             temperature = parity ? std::max<real>(given, static_cast<real>(0.1f)) : given,
             square = loss.temperature_squared ? temperature * temperature : 1;
  loss.vocabulary = er::vocabulary_mismatch::truncate;
  if (!parity && !requires { loss.confidence_k; } && random.one_in(6)) {
    b.teacher_cols = b.stride - random.below(std::min<std::size_t>(4, b.stride));
    if (random.one_in(2)) loss.vocabulary = er::vocabulary_mismatch::exclude;
  }
  const bool truncated = loss.vocabulary == er::vocabulary_mismatch::truncate;
  std::vector<answer> answers;
  for (std::size_t i = 0; i < b.tokens; ++i) {
    answer a{0, reference::row(b.cols, 0), 0};
    if (b.weight(i) != 0) {
      reference::row s = b.row(b.student, i), t = b.row(b.teacher, i);
      if (b.teacher_cols != 0) {
        t.assign(b.teacher.begin() + static_cast<std::ptrdiff_t>(i * b.stride),
                 b.teacher.begin() + static_cast<std::ptrdiff_t>(i * b.stride + b.teacher_cols));
        const std::size_t either =
            truncated ? std::min(s.size(), t.size()) : std::max(s.size(), t.size());
        s.resize(either, -reference::infinity);
        t.resize(either, -reference::infinity);
      }
      a = of_token(reference::make_pair(s, t, temperature));
      a.gradient.resize(b.cols, 0);
      a.value *= square;
      for (real& g : a.gradient) g *= square;
    }
    answers.push_back(a);
  }
  const er::loss_result r = loss(b.student_rows(), b.teacher_rows(), b.options, b.out());
  compare(name, b, r.value, answers, temperature, square);
  // The value alone is the same.
  const er::loss_result alone = loss(b.student_rows(), b.teacher_rows(), b.options);
  const double apart = std::fabs(alone.value - r.value);
  if (!(same_kind(static_cast<real>(alone.value), static_cast<real>(r.value)) ||
        apart <= 2e-6 * std::fabs(r.value) + static_cast<double>(square) * 1e-8)) {
    report(name, "the value without a gradient", static_cast<real>(alone.value),
           static_cast<real>(r.value), 0, 0, b, temperature);
  }
}

/// The same row in pieces, merged in any order.
template <class Loss, class Reference>
void run_pieces(const char* name, random_source& random, batch& b, const Loss& loss,
                Reference&& of_token) {
  const real temperature = static_cast<real>(loss.temperature);
  for (std::size_t i = 0; i < b.tokens; ++i) {
    std::vector<std::size_t> ends;
    for (std::size_t end = 0; end < b.cols;)
      ends.push_back(end = std::min(b.cols, end + 1 + random.below(b.cols)));
    const auto part = [&](const std::vector<float>& rows, std::size_t k) {
      const std::size_t first = k == 0 ? 0 : ends[k - 1];
      return er::input_row{rows.data() + i * b.stride + first, ends[k] - first};
    };
    std::vector<er::logit_statistics> seen(ends.size());
    for (std::size_t k = 0; k < ends.size(); ++k)
      er::observe_piece(part(b.student, k), part(b.teacher, k), loss.temperature, seen[k]);
    while (seen.size() > 1) {
      const std::size_t from = random.below(seen.size()), to = random.below(seen.size());
      if (from == to) continue;
      seen[to].merge(seen[from]);
      seen.erase(seen.begin() + static_cast<std::ptrdiff_t>(from));
    }
    batch one = b;
    one.tokens = one.length = 1;
    one.merged = true;
    one.weights.clear();
    one.labels.clear();
    one.mask.clear();
    one.options = {.how = er::reduction::sum};
    one.student.assign(b.student.begin() + static_cast<std::ptrdiff_t>(i * b.stride),
                       b.student.begin() + static_cast<std::ptrdiff_t>(i * b.stride + b.cols));
    one.teacher.assign(b.teacher.begin() + static_cast<std::ptrdiff_t>(i * b.stride),
                       b.teacher.begin() + static_cast<std::ptrdiff_t>(i * b.stride + b.cols));
    one.gradient.assign(b.cols, 7.0f);
    double value = 0;
    const auto out = [&](std::size_t k) {
      const std::size_t first = k == 0 ? 0 : ends[k - 1];
      return er::output_row{one.gradient.data() + first, ends[k] - first, false};
    };
    if constexpr (requires { loss.term(); }) {
      er::piece_sums sums;
      for (std::size_t k = 0; k < ends.size(); ++k)
        er::observe_terms(loss, part(b.student, k), part(b.teacher, k), seen[0], sums);
      for (std::size_t k = 0; k < ends.size(); ++k)
        er::piece_gradient(loss, part(b.student, k), part(b.teacher, k), seen[0], sums, 1, out(k));
      value = sums.value < 0 ? 0 : sums.value;
    } else {
      const double gamma = loss.rule().value;
      value = er::detail::row::blended(gamma, seen[0].forward_kl(), seen[0].reverse_kl());
      for (std::size_t k = 0; k < ends.size(); ++k) {
        er::piece_gradient(part(b.student, k), part(b.teacher, k), loss.temperature, seen[0],
                           1 - gamma, gamma, out(k));
      }
    }
    const std::vector<answer> answers{
        of_token(reference::make_pair(b.row(b.student, i), b.row(b.teacher, i), temperature))};
    compare(name, one, value, answers, temperature, 1);
  }
}

float any_temperature(random_source& random) {
  return random.pick({1.0f, 1.0f, 1.0f, 0.5f, 2.0f, 4.0f, 1e-3f, 1e-30f, 100.0f, 1e5f, 1e7f, 1e9f});
}

void divergences(random_source& random) {
  batch b = make_batch(random, any_length(random));
  const float temperature = any_temperature(random);
  const real t = static_cast<real>(temperature);
  const bool squared = random.one_in(2), pieces = random.one_in(3);
  const float gamma = random.pick({0.0f, 1.0f, 0.5f, 0.125f}),
              beta = random.pick({0.5f, 0.1f, 1e-6f, 0.999f}),
              alpha = random.pick({0.0f, 0.1f, 0.5f, 1e-6f, 0.99f});
  if (!pieces && random.one_in(3)) set_types(random, b);
  const auto run = [&](const char* name, const auto& loss, auto&& of_token) {
    if (pieces) run_pieces(name, random, b, loss, of_token);
    if (!pieces) run_pair(name, random, b, loss, of_token);
  };
  const auto of_term = [&](reference::kind kind, float a) {
    return [=](const reference::pair& both) {
      return reference::term(kind, static_cast<real>(a), both, t);
    };
  };
  const auto of_blend = [&](float g) {
    return [=](const reference::pair& both) {
      return reference::blend(both, static_cast<real>(g), t);
    };
  };
  switch (random.below(7)) {
    case 0:
      return run("forward_kl", er::forward_kl{temperature, squared}, of_blend(0));
    case 1:
      return run("reverse_kl", er::reverse_kl{temperature, squared}, of_blend(1));
    case 2:
      return run("symmetric_kl",
                 er::symmetric_kl{
                     .temperature = temperature, .temperature_squared = squared, .gamma = gamma},
                 of_blend(gamma));
    case 3:
      return run("generalized_js",
                 er::generalized_js{
                     .temperature = temperature, .temperature_squared = squared, .beta = beta},
                 of_term(reference::kind::jensen_shannon, beta));
    case 4:
      return run(
          "skew_kl",
          er::skew_kl{.temperature = temperature, .temperature_squared = squared, .alpha = alpha},
          of_term(reference::kind::skew_forward, alpha));
    case 5:
      return run("skew_reverse_kl",
                 er::skew_reverse_kl{
                     .temperature = temperature, .temperature_squared = squared, .alpha = alpha},
                 of_term(reference::kind::skew_reverse, alpha));
    default:
      return run("total_variation",
                 er::total_variation{.temperature = temperature, .temperature_squared = squared},
                 [=](const reference::pair& both) {
                   answer a = reference::term(reference::kind::total_variation, 0, both, t);
                   a.scale = std::max<real>(a.scale, 1);  // the sign of a rounding error is 1
                   return a;
                 });
  }
}

/// Blends whose gamma is the teacher's confidence in the whole batch.
void confidences(random_source& random) {
  batch b = make_batch(random, any_length(random));
  const er::entropy_aware_kl loss{.temperature = any_temperature(random),
                                  .confidence_k = random.pick({2ul, 16ul, 1000ul})};
  set_options(random, b);
  real sum = 0;
  for (std::size_t sample = 0; sample < b.tokens / b.length; ++sample) {
    real own = 0;
    std::size_t counted = 0;
    for (std::size_t i = sample * b.length; i < (sample + 1) * b.length; ++i) {
      if (b.weight(i) == 0) continue;
      ++counted;
      own += 1 - reference::entropy(reference::log_softmax(b.row(b.teacher, i), 1)) /
                     std::log(static_cast<real>(loss.confidence_k));
    }
    sum += counted == 0 ? 1 : own / static_cast<real>(counted);
  }
  const real mean = sum / static_cast<real>(b.tokens / b.length);
  const real gamma = std::isnan(mean) ? mean : std::clamp<real>(mean, 0, 1);
  // Next to an end, rounding decides whether an infinite direction counts.
  if (std::fabs(gamma) < 1e-9L || std::fabs(gamma - 1) < 1e-9L) {
    if (mean > -1e-9L && mean < 1e-9L) return;
    if (mean > 1 - 1e-9L) return;
  }
  if (b.cols >= 8192) return;  // gamma is one of float there
  run_pair("entropy_aware_kl", random, b, loss, [&](const reference::pair& both) {
    return reference::blend(both, gamma, static_cast<real>(loss.temperature));
  });
}

void tasks(random_source& random) {
  batch b = make_batch(random, any_length(random));
  if (random.one_in(3)) set_types(random, b);
  if (random.one_in(3)) {
    return run_single(
        "router_z", random, b, [&] { return er::router_z{}(b.student_rows(), b.options, b.out()); },
        [&](std::size_t i) { return reference::router_z(b.row(b.student, i)); });
  }
  if (b.labels.empty()) b.labels.assign(b.tokens, static_cast<std::int64_t>(random.below(b.cols)));
  const float smoothing = random.pick({0.0f, 0.0f, 0.1f});
  run_single(
      "cross_entropy", random, b,
      [&] {
        return er::cross_entropy{.label_smoothing = smoothing}(b.student_rows(), b.options,
                                                               b.out());
      },
      [&](std::size_t i) {
        return reference::cross_entropy(b.row(b.student, i), static_cast<std::size_t>(b.label(i)),
                                        static_cast<real>(smoothing));
      });
}

/// All columns known: a top-k teacher is the whole one.
void known_teachers(random_source& random) {
  batch b = make_batch(random, 1 + random.below(40));
  std::vector<std::int32_t> ids;
  std::vector<float> logs;
  for (std::size_t i = 0; i < b.tokens; ++i) {
    for (std::size_t c = 0; c < b.cols; ++c) {
      ids.push_back(static_cast<std::int32_t>(c));
      float x = b.teacher[i * b.stride + c];
      logs.push_back(x > 0 ? -x : x);
      b.teacher[i * b.stride + c] = logs.back();
    }
  }
  const er::top_k_teacher teacher{.ids = {ids.data(), b.tokens, b.cols},
                                  .log_probabilities = {logs.data(), b.tokens, b.cols}};
  const float temperature = any_temperature(random);
  const auto run = [&](const char* name, const auto& loss, auto&& of_token) {
    set_options(random, b);
    const real t = static_cast<real>(temperature);
    std::vector<answer> answers;
    for (std::size_t i = 0; i < b.tokens; ++i) {
      answer a{0, reference::row(b.cols, 0), 0};
      if (b.weight(i) != 0) {
        a = of_token(reference::make_pair(b.row(b.student, i), b.row(b.teacher, i), t));
        a.value *= t * t;
        for (real& g : a.gradient) g *= t * t;
      }
      answers.push_back(a);
    }
    const er::loss_result r = er::top_k_loss{loss}(b.student_rows(), teacher, b.options, b.out());
    compare(name, b, r.value, answers, t, t * t);
  };
  if (random.one_in(3)) {
    b.student_as.take(1 + random.below(2), b.student);
    b.gradient_as.take(1 + random.below(2), b.gradient);
  }
  const real t = static_cast<real>(temperature);
  if (random.one_in(2)) {
    const float gamma = random.pick({0.0f, 1.0f, 0.5f});
    return run("top_k_loss{symmetric_kl}",
               er::symmetric_kl{.temperature = temperature, .gamma = gamma},
               [&](const reference::pair& both) {
                 return reference::blend(both, static_cast<real>(gamma), t);
               });
  }
  run("top_k_loss{generalized_js}", er::generalized_js{.temperature = temperature},
      [&](const reference::pair& both) {
        return reference::term(reference::kind::jensen_shannon, 0.5L, both, t);
      });
}

/// Numbers without meaning are refused, and nothing is written.
void refusals(random_source& random) {
  batch b = make_batch(random, 1 + random.below(20));
  set_options(random, b);
  const float bad = random.pick({not_a_number, infinity, -infinity});
  float temperature = 1;
  const std::vector<float> weights(b.tokens, random.pick({bad, -1.0f})), upstream(b.tokens, bad);
  std::vector<std::int64_t> none;
  b.options.labels = none;
  b.options.mask = {};
  switch (random.below(5)) {
    case 0:
      b.options.weights = weights;
      break;
    case 1:
      b.options.token_upstream = upstream;
      break;
    case 2:
      b.options.upstream = static_cast<double>(bad);
      break;
    case 3:
      b.options.denominator = static_cast<double>(random.pick({bad, -1.0f}));
      break;
    default:
      temperature = random.pick({bad, 0.0f, -1.0f});
  }
  try {
    er::forward_kl{temperature}(b.student_rows(), b.teacher_rows(), b.options, b.out());
    report("forward_kl", "what must be refused", 0, 0, 0, 0, b, static_cast<real>(temperature));
  } catch (const std::invalid_argument&) {
    if (b.gradient != b.before)
      report("forward_kl", "what was written before it was refused", 0, 0, 0, 0, b, 1);
  }
}

/// With the clamp of EdgeRazor (Python).
void parities(random_source& random) {
  batch b = make_batch(random, any_length(random));
  if (random.one_in(3)) set_types(random, b);
  const float gamma = random.pick({0.0f, 1.0f, 0.5f}), temperature = any_temperature(random);
  const er::symmetric_kl loss{.temperature = temperature,
                              .temperature_squared = random.one_in(2),
                              .mode = er::loss_mode::parity,
                              .gamma = gamma};
  const real t = std::max(static_cast<real>(temperature), static_cast<real>(0.1f));
  run_pair("symmetric_kl in parity mode", random, b, loss, [&](const reference::pair& both) {
    return reference::clamped(both, static_cast<real>(gamma), t);
  });
}

void run_case() {
  random_source random{std::mt19937_64{seed}};
  switch (random.below(17)) {
    case 0:
      return refusals(random);
    case 1:
    case 2:
      return tasks(random);
    case 3:
      return features(random);
    case 12:
      return hidden_losses(random);
    case 13:
      return projections(random);
    case 14:
      return relations(random);
    case 15:
      return fused_heads(random);
    case 16:
      return parities(random);
    case 4:
      return known_teachers(random);
    case 5:
      return confidences(random);
    default:
      return divergences(random);
  }
}

}  // namespace

int main(int count, char** arguments) {
  const double seconds = count > 1 ? std::atof(arguments[1]) : 10;
  seed = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 1;
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t first = seed;
  do {
    run_case();
    ++seed;
  } while (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() <
           seconds);
  std::printf("%llu cases from seed %llu, %llu findings\n",
              static_cast<unsigned long long>(seed - first), static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(findings));
  return findings == 0 ? 0 : 1;
}
