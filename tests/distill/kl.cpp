// SPDX-License-Identifier: Apache-2.0
/// The KL family against definitions in long double (every scale of logits, tails, and what isn't
/// finite), and in parity mode against golden cases of EdgeRazor (Python).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "distill/oracle.hpp"
#include "support/golden.hpp"
#include <edgerazor/distill/engine.hpp>
#include <edgerazor/distill/kl.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/kl");

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

struct rows {
  std::vector<float> student, teacher;
};

std::vector<float> normal(std::size_t size, float scale, float shift, std::mt19937& random) {
  std::normal_distribution<float> draw(0, 1);
  std::vector<float> result(size);
  for (float& x : result) x = scale * draw(random) + shift;
  return result;
}

/// Value, gamma and gradient of one token against the oracle, to a relative 1e-6; a gradient
/// relative to its row's largest.
void check_token(const rows& logits, float temperature) {
  const std::size_t size = logits.student.size();
  const auto log_q =
      oracle::log_softmax(logits.student, size, static_cast<oracle::real>(temperature));
  const auto log_p =
      oracle::log_softmax(logits.teacher, size, static_cast<oracle::real>(temperature));
  const auto plain = oracle::log_softmax(logits.teacher, size, 1);
  const oracle::real forward = oracle::kl(log_p, log_q), reverse = oracle::kl(log_q, log_p);
  const oracle::real gamma =
      std::clamp<oracle::real>(1 - oracle::entropy(plain) / std::log(oracle::real{16}), 0, 1);

  for (const er::loss_engine& engine : er::available_loss_engines()) {
    INFO(std::string{engine.name});
    std::vector<float> gradient(size, 7);
    const er::matrix_view<const float> student{logits.student.data(), 1, size},
        teacher{logits.teacher.data(), 1, size};
    const er::entropy_aware_kl loss{.temperature = temperature, .temperature_squared = false};
    const er::token_batch tokens{.engine = &engine};
    const er::blended_result value_alone = loss(student, teacher, tokens);
    const er::blended_result r =
        loss(student, teacher, tokens, er::matrix_view<float>{gradient.data(), 1, size});

    // Rows that are worked in float know a probability of e^-12 to 1e-6 of itself: where one token
    // has nearly all the mass, that is what the others' divergence is made of, and 2e-9 nats are
    // left to it.
    const double floor = size < 8192 ? 1e-13 : 2e-9;
    const auto close = [floor](double result, oracle::real expected) {
      if (std::isinf(expected)) return result == static_cast<double>(expected);
      return std::fabs(result - static_cast<double>(expected)) <=
             1e-6 * std::fabs(static_cast<double>(expected)) + floor;
    };
    CHECK_MESSAGE(close(r.forward, forward), r.forward, " instead of ",
                  static_cast<double>(forward), ", off by ",
                  r.forward - static_cast<double>(forward));
    CHECK_MESSAGE(close(r.reverse, reverse), r.reverse, " instead of ",
                  static_cast<double>(reverse), ", off by ",
                  r.reverse - static_cast<double>(reverse));
    CHECK(std::fabs(r.gamma - static_cast<double>(gamma)) <= 1e-6);
    CHECK(close(value_alone.value, static_cast<oracle::real>(r.value)));

    if (std::isinf(reverse)) continue;  // has no direction: see below
    const oracle::real blend = static_cast<oracle::real>(r.gamma);
    const auto expected =
        oracle::kl_gradient(log_q, log_p, 1 - blend, blend, static_cast<oracle::real>(temperature));
    oracle::real largest = 0, error = 0, apart = 0;
    for (std::size_t i = 0; i < size; ++i) {
      largest = std::max(largest, std::fabs(expected[i]));
      error = std::max(error, std::fabs(static_cast<oracle::real>(gradient[i]) - expected[i]));
    }
    for (std::size_t i = 0; i < size; ++i) {
      if (std::isfinite(log_q[i] - log_p[i]))
        apart = std::max(apart, std::fabs(log_q[i] - log_p[i]));
    }
    // What is left where the gradient itself is next to nothing is double's rounding: of s / T, of
    // ln q - ln p, of the products with them.
    CHECK(error <= oracle::real{1e-6} * largest + 8 * oracle::real{0x1p-53} * (1 + apart));
  }
}

}  // namespace

TEST_CASE("divergences and gradients agree with long double at every scale") {
  for (const std::size_t size :
       {1, 2, 3, 7, 8, 23, 64, 511, 512, 513, 1000, 5000, 8192, 8195, 20000}) {
    for (const float scale : {1e-3f, 1e-2f, 0.1f, 1.0f, 10.0f, 100.0f, 1000.0f}) {
      for (const float temperature : {1.0f, 2.0f, 0.3f}) {
        const std::uint32_t seed =
            static_cast<std::uint32_t>(size * 31 + static_cast<std::size_t>(scale * 1000));
        INFO("seed " << seed << ", " << size << " columns, logits of scale " << scale
                     << ", temperature " << temperature);
        std::mt19937 random{seed};
        // Student and teacher apart by the scale, close to each other, and far from 0.
        rows logits{normal(size, scale, 0, random), normal(size, scale, 0, random)};
        check_token(logits, temperature);
        logits.student = logits.teacher;
        for (float& x : logits.student) x += scale * 1e-2f * normal(1, 1, 0, random)[0];
        check_token(logits, temperature);
        for (float& x : logits.student) x += 300.0f;
        check_token(logits, temperature);
      }
    }
  }
}

TEST_CASE("the largest logits may come late, and each later one larger") {
  for (const std::size_t size : {2000, 20000}) {
    std::mt19937 random{5};
    rows logits{normal(size, 1, 0, random), normal(size, 1, 0, random)};
    for (std::size_t i = 0; i < size; ++i) {
      logits.student[i] += 0.03f * static_cast<float>(i);
      logits.teacher[i] += 0.03f * static_cast<float>(i);
    }
    check_token(logits, 1);
    for (std::size_t i = 0; i < size; ++i) logits.teacher[i] -= 0.06f * static_cast<float>(i);
    check_token(logits, 1);
  }
}

TEST_CASE("a one-hot teacher, and impossible tokens of either") {
  for (const std::size_t size : {5, 700, 9000}) {
    std::mt19937 random{11};
    const rows plain{normal(size, 2, 0, random), normal(size, 2, 0, random)};
    rows logits = plain;
    std::fill(logits.teacher.begin(), logits.teacher.end(), -infinity);
    logits.teacher[size / 2] = 3;
    check_token(logits, 1);  // forward finite, reverse infinite
    logits = plain;
    for (std::size_t i = 0; i < size; i += 3) logits.student[i] = logits.teacher[i] = -infinity;
    check_token(logits, 1);  // both finite
    logits = plain;
    for (std::size_t i = 0; i < size; i += 3) logits.student[i] = -infinity;
    check_token(logits, 1);  // forward infinite, reverse finite
    logits = plain;
    for (std::size_t i = 0; i < size - 1; ++i) logits.teacher[i] = -infinity;  // whole blocks of it
    for (std::size_t i = 0; i < size - 1; ++i) logits.student[i] = -infinity;
    check_token(logits, 1);
  }
}

TEST_CASE("logits whose differences float does not hold have finite divergences") {
  constexpr float huge = std::numeric_limits<float>::max();
  for (const std::size_t size : {5, 700, 9000}) {
    std::mt19937 random{17};
    const rows plain{normal(size, 2, 0, random), normal(size, 2, 0, random)};
    for (const float temperature : {1.0f, 2.0f, 1e-3f}) {
      for (const bool of_student : {true, false}) {
        const auto changed = [&](auto&& change) {
          rows logits = plain;
          change(of_student ? logits.student : logits.teacher);
          INFO(size << " columns, " << (of_student ? "student" : "teacher"));
          check_token(logits, temperature);
        };
        // Differences beyond float.
        changed([&](std::vector<float>& x) { x[size / 2] = -huge; });
        changed([&](std::vector<float>& x) { x[size / 2] = huge; });
        // Differences that float holds, and their sums not; or not times 1 / T in exponent units.
        changed([&](std::vector<float>& x) {
          for (std::size_t i = 0; i < size; ++i) x[i] = i == size / 3 ? 0 : -0.5f * huge;
        });
        // Beyond float from a reference that comes late; all alike, far from the other row.
        changed([&](std::vector<float>& x) {
          for (std::size_t i = 0; i < size; ++i) x[i] = i + 1 == size ? 0.75f * huge : -0.5f * huge;
        });
        changed([&](std::vector<float>& x) { std::fill(x.begin(), x.end(), huge); });
      }
      // An improbable token that is next to impossible for the other, beside one that is impossible
      // for both.
      rows logits;
      for (const std::size_t at : {size / 2, std::size_t{1}}) {
        for (const bool of_student : {true, false}) {
          logits = plain;
          std::vector<float>&far = of_student ? logits.student : logits.teacher,
          &other = of_student ? logits.teacher : logits.student;
          far[at] = -0.5f * huge * std::min(temperature, 1.0f);
          other[at] = -300 * temperature;
          logits.student[0] = logits.teacher[0] = -infinity;
          check_token(logits, temperature);
        }
      }
      logits = plain;
      std::fill(logits.student.begin(), logits.student.end(), huge);
      std::fill(logits.teacher.begin(), logits.teacher.end(), -huge);
      check_token(logits, temperature);
      // Masked by the least float, as many hosts do, in both rows: as if it were minus infinity.
      rows masked = plain;
      logits = plain;
      for (std::size_t i = 0; i < size; i += 3) {
        logits.student[i] = logits.teacher[i] = -huge;
        masked.student[i] = masked.teacher[i] = -infinity;
      }
      std::vector<float> is(size), expected(size);
      const er::entropy_aware_kl loss{.temperature = temperature};
      const auto view = [size](const std::vector<float>& x) {
        return er::matrix_view<const float>{x.data(), 1, size};
      };
      static_cast<void>(loss(view(logits.student), view(logits.teacher), er::token_batch{},
                             er::matrix_view<float>{is.data(), 1, size}));
      static_cast<void>(loss(view(masked.student), view(masked.teacher), er::token_batch{},
                             er::matrix_view<float>{expected.data(), 1, size}));
      float largest = 0;
      for (const float x : expected) largest = std::max(largest, std::fabs(x));
      for (std::size_t i = 0; i < size; ++i)
        CHECK(std::fabs(is[i] - expected[i]) <= 2e-6f * largest);
    }
  }
}

TEST_CASE("a row whose only possible logit is 1e24 temperatures from the teacher's has no slope") {
  // q = (1, 0, ..., 0): each q_i (ln q_i - ln p_i - KL(q||p)) is 0. What s - t, its typical value
  // and the references' distance have in common is 1e24 nats, and the teacher's own logits are one.
  const float temperature = 1e-30f;
  for (const std::size_t cols : {2u, 9u, 600u}) {
    CAPTURE(cols);
    std::vector<float> student(cols, -infinity), teacher(cols), gradient(cols);
    student[0] = -1e-6f;
    for (std::size_t i = 0; i < cols; ++i)
      teacher[i] = temperature * std::sin(static_cast<float>(i) + 1);
    const std::vector<int> labels{0};
    const er::reverse_kl loss{.temperature = temperature, .temperature_squared = false};
    const auto result = loss(er::matrix_view<const float>{student.data(), 1, cols},
                             er::matrix_view<const float>{teacher.data(), 1, cols}, labels,
                             er::reduction::sum, er::matrix_view<float>{gradient.data(), 1, cols});
    double sum = 0;
    for (const float t : teacher) sum += std::exp(static_cast<double>(t) / temperature);
    const double expected = std::log(sum) - static_cast<double>(teacher[0]) / temperature;
    CHECK(result.value == doctest::Approx(expected).epsilon(1e-6));
    for (const float slope : gradient) CHECK(std::fabs(slope * temperature) < 1e-6f);
  }
}

TEST_CASE("an infinite divergence is infinite, and its gradient is never NaN") {
  for (const std::size_t size : {40, 9000}) {
    std::mt19937 random{12};
    std::vector<float> student = normal(size, 1, 0, random), teacher = normal(size, 1, 0, random),
                       gradient(size, 7);
    teacher[3] = -infinity;
    const er::matrix_view<const float> s{student.data(), 1, size}, t{teacher.data(), 1, size};
    const er::matrix_view<float> g{gradient.data(), 1, size};
    CHECK(er::reverse_kl{}(s, t, er::token_batch{}, g).value ==
          std::numeric_limits<double>::infinity());
    CHECK(std::all_of(gradient.begin(), gradient.end(), [](float x) { return x == 0; }));
    CHECK(std::isfinite(er::forward_kl{}(s, t, er::token_batch{}, g).value));
    student[4] = -infinity;
    CHECK(er::forward_kl{}(s, t, er::token_batch{}, g).value ==
          std::numeric_limits<double>::infinity());
    // The forward gradient is q - p all the same: it says where mass is missing.
    CHECK(gradient[4] < 0);
    CHECK(std::all_of(gradient.begin(), gradient.end(), [](float x) { return std::isfinite(x); }));
  }
}

TEST_CASE("a NaN or plus infinity is not hidden") {
  for (const std::size_t size : {40, 9000}) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity * 0.0f})
      for (const bool in_student : {false, true}) {
        std::vector<float> student(size, 0.5f), teacher(size, 0.25f);
        (in_student ? student : teacher)[size - 2] = bad;
        const er::matrix_view<const float> s{student.data(), 1, size}, t{teacher.data(), 1, size};
        CHECK(std::isnan(er::forward_kl{}(s, t, er::token_batch{}).value));
        CHECK(std::isnan(er::reverse_kl{}(s, t, er::token_batch{}).value));
        // Confidence alone, of a row that is looked at alone.
        const er::matrix_view<const float> with = in_student ? s : t;
        CHECK(std::isnan(er::entropy_aware_kl{}.confidence(with, er::token_batch{}).gamma()));
        const std::vector<std::int64_t> label{1};
        CHECK(std::isnan(
            er::confidence_aware_kl{}.confidence(with, er::token_batch{.labels = label}).gamma()));
      }
  }
}

namespace {

/// EdgeRazor (Python) works in float32: a probability is a few roundings off, its logarithm (down
/// to ln 1e-8 = -18.4) too, and 23 such terms are added. 2^-24 * 18.4 * 2 = 2.2e-6 for a term of
/// size 1; T^2 = 4 and a sum over 10 tokens scale it.
constexpr double rounding = 2.2e-6;

std::optional<std::vector<std::int64_t>> read_labels(const nlohmann::json& data) {
  if (data.is_null()) return std::nullopt;
  return data.get<std::vector<std::int64_t>>();
}

er::reduction read_reduction(const std::string& name) {
  if (name == "sum") return er::reduction::sum;
  if (name == "mean") return er::reduction::mean;
  if (name == "batch_mean") return er::reduction::batch_mean;
  REQUIRE(name == "none");
  return er::reduction::none;
}

struct golden_case {
  std::vector<float> student, teacher, upstream, value, gradient;
  std::optional<std::vector<std::int64_t>> labels;
  std::size_t tokens = 0, sample_tokens = 0, vocabulary = 0;
  er::reduction how;
  float temperature;

  explicit golden_case(const nlohmann::json& data)
      : student(golden::floats(data.at("student"))),
        teacher(golden::floats(data.at("teacher"))),
        upstream(golden::floats(data.at("upstream"))),
        value(golden::floats(data.at("value"))),
        gradient(golden::floats(data.at("grad_student"))),
        labels(read_labels(data.at("labels"))),
        how(read_reduction(data.at("config").at("reduction"))),
        temperature(data.at("config").at("temperature")) {
    const auto shape = data.at("student_shape").get<std::vector<std::size_t>>();
    REQUIRE(shape.size() == 3);
    tokens = shape[0] * shape[1];
    sample_tokens = shape[1];
    vocabulary = shape[2];
  }

  template <class Loss>
  void check(const Loss& loss) const {
    std::vector<float> result(gradient.size(), 7.0f), values(tokens, 7.0f);
    er::token_batch batch{.sample_tokens = sample_tokens, .how = how, .token_values = values};
    if (labels) batch.labels = *labels;
    if (how == er::reduction::none) {
      batch.token_upstream = upstream;
    } else {
      batch.upstream = static_cast<double>(upstream.at(0));
    }
    const er::blended_result r =
        loss(er::matrix_view<const float>{student.data(), tokens, vocabulary},
             er::matrix_view<const float>{teacher.data(), tokens, vocabulary}, batch,
             er::matrix_view<float>{result.data(), tokens, vocabulary});
    if (how == er::reduction::none) {
      REQUIRE(value.size() == tokens);
      for (std::size_t i = 0; i < tokens; ++i) {
        CHECK(std::fabs(values[i] - value[i]) <=
              rounding * 4 * std::max(1.0f, std::fabs(value[i])));
      }
    } else {
      const double scale = 4.0 * static_cast<double>(tokens);
      CHECK(std::fabs(r.value - static_cast<double>(value.at(0))) <=
            rounding * std::max(how == er::reduction::sum ? scale : 4.0, std::fabs(r.value)));
    }
    double largest = 1;
    for (const float u : upstream) largest = std::max(largest, static_cast<double>(std::fabs(u)));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < result.size(); ++i) {
      wrong += !(std::fabs(static_cast<double>(result[i]) - static_cast<double>(gradient[i])) <=
                 rounding * 2 * largest);
    }
    CHECK(wrong == 0);
  }
};

}  // namespace

TEST_CASE("parity mode gives the divergences and gradients of EdgeRazor (Python)") {
  std::size_t checked = 0;
  const nlohmann::json file = golden::load("losses.json");
  for (const nlohmann::json& data : file.at("cases")) {
    if (data.at("student_shape").size() != 3 || data.at("function") == "compute_mse") continue;
    const golden_case one{data};
    const std::string function = data.at("function");
    INFO(function << ", " << data.at("tag").get<std::string>() << ", " << data.at("config").dump());
    const nlohmann::json& config = data.at("config");
    if (function == "compute_kld_forward") {
      one.check(er::forward_kl{.temperature = one.temperature, .mode = er::loss_mode::parity});
    } else if (function == "compute_kld_reverse") {
      one.check(er::reverse_kl{.temperature = one.temperature, .mode = er::loss_mode::parity});
    } else if (config.at("use_entropy")) {
      REQUIRE(function == "compute_kld_confidence");
      one.check(er::entropy_aware_kl{.temperature = one.temperature,
                                     .mode = er::loss_mode::parity,
                                     .confidence_k = config.at("confidence_k")});
    } else {
      one.check(
          er::confidence_aware_kl{.temperature = one.temperature, .mode = er::loss_mode::parity});
    }
    ++checked;
  }
  CHECK(checked == 84);
}

TEST_SUITE_END();
