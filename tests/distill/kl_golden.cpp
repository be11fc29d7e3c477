/// Golden cases of the published Python reference: values, gradients and gamma, in parity mode.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/distill/kl.hpp>

namespace er = edgerazor;

namespace {

/// The reference works in float32: a probability is a few roundings off, its logarithm (down to ln
/// 1e-8 = -18.4) too, and 23 such terms are added. 2^-24 * 18.4 * 2 = 2.2e-6 for a term of size 1;
/// T^2 = 4 and a sum over 10 tokens scale it.
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

TEST_CASE("parity mode gives the reference's divergences and gradients") {
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

TEST_CASE("gamma is the reference's") {
  std::size_t checked = 0;
  const nlohmann::json file = golden::load("teacher_confidence.json");
  for (const nlohmann::json& data : file.at("cases")) {
    const auto teacher = golden::floats(data.at("teacher"));
    const auto labels = data.at("labels").get<std::vector<std::int64_t>>();
    const auto shape = data.at("teacher_shape").get<std::vector<std::size_t>>();
    const er::matrix_view<const float> logits{teacher.data(), shape[0] * shape[1], shape[2]};
    const er::token_batch batch{.labels = labels, .sample_tokens = shape[1]};
    const float gamma = golden::floats(data.at("gamma")).at(0);
    for (const er::loss_mode mode : {er::loss_mode::parity, er::loss_mode::stable}) {
      double result = 0;
      if (data.at("use_entropy")) {
        result = er::entropy_aware_kl{.mode = mode, .confidence_k = data.at("confidence_k")}(
                     logits, logits, batch)
                     .gamma;
      } else {
        result = er::confidence_aware_kl{.mode = mode}(logits, logits, batch).gamma;
      }
      // ln(p + 1e-8) instead of ln p: at most 1e-8 a column.
      CHECK(std::fabs(result - static_cast<double>(gamma)) <= rounding + 23 * 1e-8);
    }
    ++checked;
  }
  CHECK(checked == 24);
}
