// SPDX-License-Identifier: Apache-2.0
// Hostile losses: values (NaN, infinities, huge, tiny, denormal, nearly equal rows), lengths around
// vectors, blocks and the change from double to float, strides, weights, labels, reductions,
// temperatures, whole rows and merged pieces, against definitions in long double.
//
//   hostile_losses [seconds [first seed]]
//
// A case is its seed: a finding prints it, and `hostile_losses 0 SEED` runs that one alone, with
// its rows where HOSTILE_ROWS is set.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference_losses.hpp"
#include <edgerazor/distill.hpp>

namespace er = edgerazor;
using reference::answer;
using reference::real;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

struct random_source {
  std::mt19937_64 engine;

  std::size_t below(std::size_t n) { return engine() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  T pick(std::initializer_list<T> from) {
    return from.begin()[below(from.size())];
  }
  float normal() { return std::normal_distribution<float>{}(engine); }
};

/// Tokens of one call: rows as the loss reads them, and as long double.
struct batch {
  std::size_t tokens = 1, cols = 1, stride = 1, length = 1;
  std::vector<float> student, teacher;
  std::vector<float> weights;
  std::vector<std::int64_t> labels;
  er::token_batch options;
  std::vector<float> gradient;
  std::vector<float> before;

  [[nodiscard]] er::matrix_view<const float> view(const std::vector<float>& rows) const {
    return {rows.data(), tokens, cols, stride};
  }
  [[nodiscard]] reference::row row(const std::vector<float>& rows, std::size_t i) const {
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(i * stride);
    return {first, first + static_cast<std::ptrdiff_t>(cols)};
  }
  [[nodiscard]] er::matrix_view<float> out() { return {gradient.data(), tokens, cols, stride}; }
  [[nodiscard]] bool counts(std::size_t i) const { return labels.empty() || labels[i] != -100; }
  [[nodiscard]] double weight(std::size_t i) const {
    if (!counts(i)) return 0;
    return weights.empty() ? 1 : static_cast<double>(weights[i]);
  }
  /// What a token's l is multiplied by in the value.
  [[nodiscard]] double share(std::size_t i) const {
    double all = 0, own = 0;
    for (std::size_t k = 0; k < tokens; ++k) {
      all += weight(k);
      own += k / length == i / length ? weight(k) : 0;
    }
    const auto or_one = [](double x) { return x > 0 ? x : 1; };
    const double given = options.denominator;
    switch (options.how) {
      case er::reduction::sum:
        return weight(i) / (given > 0 ? given : 1);
      case er::reduction::mean:
        return weight(i) / (given > 0 ? given : or_one(all));
      case er::reduction::batch_mean:
        return weight(i) / or_one(own) / (given > 0 ? given : static_cast<double>(tokens / length));
      case er::reduction::none:
        break;
    }
    return weight(i);
  }
};

std::size_t any_length(random_source& random) {
  const std::size_t near_vector = 1 + random.below(40);
  const std::size_t near_block = 505 + random.below(15), near_blocks = 1020 + random.below(9);
  const std::size_t near_float = 8185 + random.below(15);
  return random.pick({near_vector, near_vector, near_vector, near_block, near_block, near_blocks,
                      random.one_in(4) ? near_float : near_block});
}

void make_logits(random_source& random, batch& b) {
  const float scale =
      random.pick({1e-30f, 1e-6f, 1e-3f, 0.1f, 1.0f, 3.0f, 30.0f, 1e3f, 1e9f, 1e30f, 1e38f});
  const float offset =
      random.one_in(3) ? random.pick({1e-3f, 10.0f, -300.0f, 1e6f, -1e9f, 2e38f, -2e38f}) : 0.0f;
  const std::size_t relation = random.below(5);
  for (std::size_t i = 0; i < b.student.size(); ++i) {
    b.teacher[i] = scale * random.normal() + offset;
    b.student[i] = scale * random.normal() + offset;
    if (relation == 0) b.student[i] = b.teacher[i];
    if (relation == 1) b.student[i] = b.teacher[i] + random.pick({0.0f, 1e-6f, -1e-6f});
    if (relation == 2) b.student[i] = b.teacher[i] * (1 + 1e-6f * random.normal());
    if (relation == 3) b.student[i] = b.teacher[i] + 1e-3f * scale * random.normal();
  }
  // Impossible and hostile elements, in some rows.
  for (std::size_t k = 0; k < 2 * b.tokens; ++k) {
    const std::size_t t = k / 2;
    if (!random.one_in(4)) continue;
    const float value = random.pick({-infinity, -infinity, -infinity, infinity, not_a_number, 3e38f,
                                     -3e38f, -3.4028235e38f, 1e-45f, -0.0f});
    const std::size_t which = random.below(3),
                      how_many = random.pick<std::size_t>({1, 1, 3, 1000000});
    for (std::size_t k = 0; k < std::min(how_many, b.cols); ++k) {
      const std::size_t c = how_many > b.cols ? k : random.below(b.cols);
      if (how_many > b.cols && random.one_in(2)) continue;
      if (which != 1) b.student[t * b.stride + c] = value;
      if (which != 0) b.teacher[t * b.stride + c] = value;
    }
  }
}

batch make_batch(random_source& random, std::size_t cols) {
  batch b;
  b.length = 1 + random.below(3);
  b.tokens = b.length * (1 + random.below(cols > 2000 ? 1 : 2));
  b.cols = cols;
  b.stride = cols + random.below(3);
  b.student.resize(b.tokens * b.stride);
  b.teacher.resize(b.tokens * b.stride);
  b.gradient.resize(b.tokens * b.stride, 7.0f);
  make_logits(random, b);
  if (random.one_in(2)) {
    for (std::size_t i = 0; i < b.tokens; ++i)
      b.weights.push_back(random.pick({0.0f, 1.0f, 0.5f, 3.0f, 1e-3f}));
    // What has no weight may be anything.
    for (std::size_t i = 0; i < b.tokens; ++i) {
      if (b.weights[i] == 0 && random.one_in(2))
        b.student[i * b.stride] = b.teacher[i * b.stride] = not_a_number;
    }
  }
  if (random.one_in(2)) {
    for (std::size_t i = 0; i < b.tokens; ++i)
      b.labels.push_back(random.one_in(4) ? -100 : static_cast<std::int64_t>(random.below(cols)));
  }
  return b;
}
void set_options(random_source& random, batch& b) {
  b.options.labels = b.labels;
  b.options.weights = b.weights;
  b.options.sample_tokens = b.length;
  b.options.how = random.pick(
      {er::reduction::sum, er::reduction::mean, er::reduction::batch_mean, er::reduction::none});
  b.options.denominator = random.pick({0.0, 0.0, 3.0});
  b.options.upstream = random.pick({1.0, 1.0, -2.0, 0.0, 1e-3});
  b.options.accumulate = random.one_in(3);
  b.before = b.gradient;
}

std::uint64_t seed = 0, findings = 0;

void report(const char* loss, const char* what, real is, real expected, std::size_t token,
            std::size_t col, const batch& b, real temperature) {
  if (++findings > 20) std::exit(1);
  std::printf(
      "seed %llu: %s: %s of token %zu, column %zu of %zu is %.12Lg, expected %.12Lg "
      "(temperature %.6Lg)\n",
      static_cast<unsigned long long>(seed), loss, what, token, col, b.cols, is, expected,
      temperature);
  if (std::getenv("HOSTILE_ROWS") == nullptr || b.cols > 2000) return;
  for (std::size_t c = 0; c < b.cols; ++c) {
    std::printf("  %zu: student %.9g, teacher %.9g, gradient %.9g\n", c,
                static_cast<double>(b.student[token * b.stride + c]),
                static_cast<double>(b.teacher[token * b.stride + c]),
                static_cast<double>(b.gradient[token * b.stride + c]));
  }
}
bool same_kind(real a, real b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b;
}

/// Compares a call's result with the answers of its tokens (T^2 included).
void compare(const char* loss, const batch& b, double value, const std::vector<answer>& tokens,
             real temperature, real square) {
  const bool in_float = b.cols >= 8192;
  // Float rows: see kl_row; logits that are apart by rounding of float at the most.
  const real value_floor = in_float ? 3e-9L : 1e-30L;
  real expected = 0, allowed = 0;
  for (std::size_t i = 0; i < b.tokens; ++i) {
    const real share = static_cast<real>(b.share(i));
    if (share == 0) continue;
    expected += share * tokens[i].value;
    allowed += share * (1e-6L * std::fabs(tokens[i].value) +
                        square * (1e-17L * tokens[i].scale + value_floor));
  }
  if (std::isinf(static_cast<double>(expected)) && !std::isinf(expected)) return;
  const bool close = std::isfinite(expected)
                         ? std::fabs(static_cast<real>(value) - expected) <= allowed
                         : same_kind(static_cast<real>(value), expected);
  if (!close) report(loss, "the value", static_cast<real>(value), expected, 0, 0, b, temperature);
  for (std::size_t i = 0; i < b.tokens; ++i) {
    const real share = static_cast<real>(b.share(i)) * static_cast<real>(b.options.upstream);
    real largest = 0;
    for (const real g : tokens[i].gradient) {
      if (std::isfinite(g)) largest = std::max(largest, std::fabs(g * share));
    }
    // A gradient is a difference of probabilities, which near 1 are an ulp of double apart.
    const real floor = (in_float ? 2e-6L : 1e-6L) * largest +
                       std::fabs(share) * square / temperature *
                           (8e-16L * tokens[i].scale + (in_float ? 1e-10L : 0) + 2.3e-16L) +
                       std::fabs(share) * square * tokens[i].undecided + 1e-37L;
    for (std::size_t c = 0; c < b.cols; ++c) {
      const std::size_t at = i * b.stride + c;
      const real before = b.options.accumulate ? static_cast<real>(b.before[at]) : 0;
      const real is = static_cast<real>(b.gradient[at]);
      const real g = share == 0 ? 0 : share * tokens[i].gradient[c];
      const real wanted = before + g;
      bool fits =
          same_kind(is, wanted) || std::fabs(is - wanted) <= floor + 2e-7L * std::fabs(before);
      // Beyond float, or where a rounding of double is: infinite, or anything.
      if (std::fabs(wanted) > 3.4e38L || floor > 1e38L) fits = true;
      if (fits) continue;
      report(loss, "the gradient", is, wanted, i, c, b, temperature);
      break;
    }
  }
}

template <class Loss, class Reference>
void run_pair(const char* name, random_source& random, batch& b, const Loss& loss,
              Reference&& of_token) {
  set_options(random, b);
  const real temperature = static_cast<real>(loss.temperature),
             square = loss.temperature_squared ? temperature * temperature : 1;
  std::vector<answer> answers;
  for (std::size_t i = 0; i < b.tokens; ++i) {
    answer a{0, reference::row(b.cols, 0), 0};
    if (b.weight(i) != 0) {
      a = of_token(reference::make_pair(b.row(b.student, i), b.row(b.teacher, i), temperature));
      a.value *= square;
      for (real& g : a.gradient) g *= square;
    }
    answers.push_back(a);
  }
  const er::loss_result r = loss(b.view(b.student), b.view(b.teacher), b.options, b.out());
  compare(name, b, r.value, answers, temperature, square);
  // The value alone is the same.
  const er::loss_result alone = loss(b.view(b.student), b.view(b.teacher), b.options);
  const batch& same = b;
  const double apart = std::fabs(alone.value - r.value);
  if (!(same_kind(static_cast<real>(alone.value), static_cast<real>(r.value)) ||
        apart <= 2e-6 * std::fabs(r.value) + static_cast<double>(square) * 1e-8)) {
    report(name, "the value without a gradient", static_cast<real>(alone.value),
           static_cast<real>(r.value), 0, 0, same, temperature);
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
    one.weights.clear();
    one.labels.clear();
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

/// Losses of one row.
template <class Loss, class Reference>
void run_single(const char* name, random_source& random, batch& b, Loss&& loss,
                Reference&& of_token) {
  set_options(random, b);
  std::vector<answer> answers;
  for (std::size_t i = 0; i < b.tokens; ++i) {
    answers.push_back(b.weight(i) == 0 ? answer{0, reference::row(b.cols, 0), 0} : of_token(i));
  }
  const er::loss_result r = loss();
  compare(name, b, r.value, answers, 1, 1);
}

void tasks(random_source& random) {
  batch b = make_batch(random, any_length(random));
  if (random.one_in(3)) {
    return run_single(
        "router_z", random, b,
        [&] { return er::router_z{}(b.view(b.student), b.options, b.out()); },
        [&](std::size_t i) { return reference::router_z(b.row(b.student, i)); });
  }
  if (b.labels.empty()) b.labels.assign(b.tokens, static_cast<std::int64_t>(random.below(b.cols)));
  const float smoothing = random.pick({0.0f, 0.0f, 0.1f});
  run_single(
      "cross_entropy", random, b,
      [&] {
        return er::cross_entropy{.label_smoothing = smoothing}(b.view(b.student), b.options,
                                                               b.out());
      },
      [&](std::size_t i) {
        return reference::cross_entropy(b.row(b.student, i), static_cast<std::size_t>(b.labels[i]),
                                        static_cast<real>(smoothing));
      });
}

void features(random_source& random) {
  batch b = make_batch(random, any_length(random));
  if (random.one_in(2)) {
    return run_single(
        "hidden_mse", random, b,
        [&] { return er::hidden_mse{}(b.view(b.student), b.view(b.teacher), b.options, b.out()); },
        [&](std::size_t i) {
          return reference::squared_error(b.row(b.student, i), b.row(b.teacher, i));
        });
  }
  // Probabilities, some 0, some nearly equal, some hostile.
  for (std::size_t i = 0; i < b.student.size(); ++i) {
    b.teacher[i] =
        random.one_in(8) ? 0.0f : std::fabs(random.normal()) / static_cast<float>(b.cols);
    b.student[i] = random.one_in(8) ? random.pick({0.0f, b.teacher[i]})
                                    : b.teacher[i] * (1 + 1e-3f * random.normal());
    if (random.one_in(b.student.size() * 4))
      (random.one_in(2) ? b.student : b.teacher)[i] = random.pick({not_a_number, -0.25f, 1e-45f});
  }
  const bool reverse = random.one_in(2);
  run_single(
      "attention_kl", random, b,
      [&] {
        const er::attention_kl loss{reverse ? er::kl_direction::reverse
                                            : er::kl_direction::forward};
        return static_cast<er::loss_result>(
            loss(b.view(b.student), b.view(b.teacher), b.options, b.out()));
      },
      [&](std::size_t i) {
        return reference::attention(b.row(b.student, i), b.row(b.teacher, i), reverse ? 1 : 0);
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
    const er::loss_result r = er::top_k_loss{loss}(b.view(b.student), teacher, b.options, b.out());
    compare(name, b, r.value, answers, t, t * t);
  };
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
    er::forward_kl{temperature}(b.view(b.student), b.view(b.teacher), b.options, b.out());
    report("forward_kl", "what must be refused", 0, 0, 0, 0, b, static_cast<real>(temperature));
  } catch (const std::invalid_argument&) {
    if (b.gradient != b.before)
      report("forward_kl", "what was written before it was refused", 0, 0, 0, 0, b, 1);
  }
}

void run_case() {
  random_source random{std::mt19937_64{seed}};
  switch (random.below(12)) {
    case 0:
      return refusals(random);
    case 1:
    case 2:
      return tasks(random);
    case 3:
      return features(random);
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
