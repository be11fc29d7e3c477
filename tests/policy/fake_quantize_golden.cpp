// SPDX-License-Identifier: Apache-2.0
/// The 219 golden cases of EdgeRazor (Python), each under the policy that its function's name says.
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

struct golden_case {
  std::string function;
  nlohmann::json args;
  std::size_t rows = 1, cols = 0;
  std::vector<float> input, output;

  explicit golden_case(const nlohmann::json& data)
      : function(data.at("function")),
        args(data.at("args")),
        input(golden::floats(data.at("input"))),
        output(golden::floats(data.at("output"))) {
    const auto shape = data.at("shape").get<std::vector<std::size_t>>();
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
    cols = shape.back();
    REQUIRE(input.size() == rows * cols);
    REQUIRE(output.size() == rows * cols);
  }

  [[nodiscard]] er::matrix_view<const float> in() const { return {input.data(), rows, cols}; }
  [[nodiscard]] std::size_t block() const { return args.at("block_size"); }
  [[nodiscard]] double proportion() const { return args.at("mixed_precision_prop"); }
  [[nodiscard]] bool is(const std::string& part) const {
    return function.find(part) != std::string::npos;
  }
};

/// Bit for bit, but that EdgeRazor (Python) has -0 where a small negative weight becomes zero: a
/// level has no sign of zero.
std::size_t count_differences(const std::vector<float>& result,
                              const std::vector<float>& expected) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < result.size(); ++i) count += result[i] != expected[i];
  return count;
}

template <class Policy>
std::vector<float> quantized(const golden_case& data, Policy policy) {
  if constexpr (requires { policy.factor; }) {
    if (data.args.contains("w_scale_factor")) policy.factor = data.args.at("w_scale_factor");
  }
  if (data.args.contains("epsilon")) policy.epsilon = data.args.at("epsilon");
  std::vector<float> result(data.input.size());
  er::fake_quantize(data.in(), er::matrix_view<float>{result.data(), data.rows, data.cols}, policy);
  return result;
}

/// EdgeRazor (Python) cuts rows into blocks where the block divides the columns, else the flattened
/// tensor.
template <template <class> class Policy, std::size_t Block>
std::vector<float> quantized_block(const golden_case& data) {
  if (data.cols % Block == 0) return quantized(data, Policy<er::per_group<Block>>{});
  return quantized(data, Policy<er::per_flat_group<Block>>{});
}

template <template <class> class Policy>
std::vector<float> quantized_any(const golden_case& data) {
  if (data.is("per_tensor")) return quantized(data, Policy<er::per_tensor>{});
  if (data.is("per_channel")) return quantized(data, Policy<er::per_channel>{});
  if (data.is("per_token")) return quantized(data, Policy<er::per_token>{});
  REQUIRE(data.is("per_block"));
  switch (data.block()) {
    case 32:
      return quantized_block<Policy, 32>(data);
    case 64:
      return quantized_block<Policy, 64>(data);
    case 256:
      return quantized_block<Policy, 256>(data);
    default:
      FAIL("block size not covered: ", data.block());
      return {};
  }
}

template <class G>
using ternary = er::ternary<G>;
template <class G>
using ternary_absmax = er::ternary_absmax<G>;
template <class G>
using int2 = er::int2<G>;
template <class G>
using int4 = er::int4<G>;
template <class G>
using int5 = er::int5<G>;
template <class G>
using int8 = er::int8<G>;
template <class G>
using int4_asymmetric = er::int4_asymmetric<G>;

template <class High, class Low, class Map>
std::vector<float> mixed(const golden_case& data, const Map& map) {
  std::vector<float> result(data.input.size());
  er::fake_quantize_mixed<High, Low>(
      data.in(), er::matrix_view<float>{result.data(), data.rows, data.cols}, map);
  return result;
}

template <class Map>
std::vector<float> mixed_weights(const golden_case& data, const Map& map) {
  REQUIRE(data.block() == 16);
  return mixed<er::int4<er::per_group<16>>, er::ternary<er::per_group<16>>>(data, map);
}

std::vector<float> run(const golden_case& data) {
  if (data.is("_mp_int4_int8_dynamic")) {
    REQUIRE(data.block() == 32);
    return mixed<er::int8<er::per_group<32>>, er::int4<er::per_group<32>>>(
        data, er::largest_variance{data.proportion(), 1});
  }
  if (data.is("_mp_int1_58_int4")) {
    const double p = data.proportion();
    if (data.is("_static_row_wise_sparse")) {
      const auto n = p > 0 ? static_cast<std::size_t>(1 / p) : 0;
      return mixed_weights(data, er::every_nth_row{n});
    }
    if (data.is("_static_column_wise")) return mixed_weights(data, er::leading_columns{p});
    if (data.is("_static_sparse")) return mixed_weights(data, er::leading_blocks_of_hundred{p});
    if (data.is("_static")) return mixed_weights(data, er::leading_blocks{p});
    REQUIRE(data.is("_dynamic"));
    return mixed_weights(data, er::largest_variance{p});
  }
  if (data.is("asymmetric_max")) return quantized_any<int4_asymmetric>(data);
  if (data.is("symmetric_clip")) return quantized_any<ternary>(data);
  REQUIRE(data.is("symmetric_absmax"));
  if (data.is("_int1_58")) return quantized_any<ternary_absmax>(data);
  if (data.is("_int2")) return quantized_any<int2>(data);
  if (data.is("_int4")) return quantized_any<int4>(data);
  if (data.is("_int5")) return quantized_any<int5>(data);
  REQUIRE(data.is("_int8"));
  return quantized_any<int8>(data);
}

}  // namespace

TEST_SUITE_BEGIN("policy/fake_quantize");

TEST_CASE("fake_quantize: the golden cases of EdgeRazor (Python), to the last bit") {
  const nlohmann::json all = golden::load("quantizers.json").at("cases");
  CHECK(all.size() == 219);
  for (const nlohmann::json& item : all) {
    const golden_case data(item);
    CAPTURE(data.function);
    CAPTURE(data.args.dump());
    CAPTURE(item.at("shape").dump());
    CHECK(count_differences(run(data), data.output) == 0);
  }
}

TEST_SUITE_END();
