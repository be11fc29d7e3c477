/// Fake quantization with groups known at run time: weights as the policies' own granularity cuts
/// them, activations as `quantize_activations` stores them, keys and values as `kv_cache` does, and
/// weights as `pack` does; bit for bit.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/kv_cache.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/straight_through.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;

namespace {

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> result(count);
  for (float& x : result) x = normal(random);
  // Ties, which round to even: all of a run of sixteen are multiples of half a level of its
  // largest, 127.
  for (std::size_t i = 0; i + 16 <= count && i < 16; ++i)
    result[i] = i == 0 ? 127.0f : static_cast<float>(i) - 7.5f;
  return result;
}

template <class T>
er::matrix_view<const T> view(const std::vector<T>& data, std::size_t rows, std::size_t cols) {
  return {data.data(), rows, cols};
}

std::string sentence_of(const auto& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("groups at run time are the policies' own groups") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t rows = 9;
  for (const std::size_t cols : std::initializer_list<std::size_t>{1, 63, 64, 65, 200}) {
    CAPTURE(cols);
    const std::vector<float> w = random_values(rows * cols, seed);
    const er::matrix_view<const float> in = view(w, rows, cols);
    const auto check = [&]<class ByGroup, class ByRow>(ByGroup, ByRow) {
      std::vector<float> expected(w.size()), result(w.size()), grad(w.size(), 1.0f),
          expected_grad(w.size(), 1.0f);
      const er::matrix_view<float> to{result.data(), rows, cols},
          known{expected.data(), rows, cols};
      const er::matrix_view<float> grads{grad.data(), rows, cols},
          known_grads{expected_grad.data(), rows, cols};
      er::fake_quantize<ByGroup>(in, known);
      er::fake_quantize<ByRow>(in, to, {}, {.group = 64});
      CHECK(result == expected);
      er::straight_through_clipped<ByGroup>(in, known_grads, known_grads);
      er::straight_through_clipped<ByRow>(in, grads, grads, {}, {.group = er::column_group{64}});
      CHECK(grad == expected_grad);

      er::fake_quantize<ByRow>(in, known);
      er::fake_quantize<ByGroup>(in, to, {}, {.group = 0, .rows = er::row_range{0, 4}});
      er::fake_quantize<ByGroup>(in, to, {}, {.group = cols + 5, .rows = er::row_range{4, rows}});
      CHECK(result == expected);
      std::fill(grad.begin(), grad.end(), 1.0f);
      std::fill(expected_grad.begin(), expected_grad.end(), 1.0f);
      er::straight_through_clipped<ByRow>(in, known_grads, known_grads, {},
                                          {.rows = er::row_range{3, 7}});
      er::straight_through_clipped<ByGroup>(in, grads, grads, {},
                                            {.group = 0, .rows = er::row_range{3, 7}});
      CHECK(grad == expected_grad);
    };
    check(er::ternary<er::per_group<64>>{}, er::ternary<er::per_channel>{});
    check(er::int4<er::per_group<64>>{}, er::int4<er::per_channel>{});
    check(er::int4_asymmetric<er::per_group<64>>{}, er::int4_asymmetric<er::per_channel>{});
  }
}

TEST_CASE("mixed precision with groups at run time, and its clipped estimator") {
  using high = er::int4<er::per_group<64>>;
  using low = er::ternary<er::per_group<64>>;
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t rows = 11, cols = 200;
  const std::vector<float> w = random_values(rows * cols, seed);
  const er::matrix_view<const float> in = view(w, rows, cols);
  const auto mask = er::precision_mask(in, er::leading_columns{0.5}, er::column_group{64});
  CHECK(mask == er::precision_mask<er::per_group<64>>(in, er::leading_columns{0.5}));
  std::vector<float> expected(w.size()), result(w.size());
  const er::matrix_view<float> to{result.data(), rows, cols};
  er::fake_quantize_mixed<high, low>(in, er::matrix_view<float>{expected.data(), rows, cols}, mask);
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(in, to, mask, {}, {}, {.group = 64});
  CHECK(result == expected);
  std::fill(result.begin(), result.end(), 0.0f);
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(in, to, mask, {}, {},
                                                     {.group = 64, .rows = er::row_range{6, rows}});
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(in, to, mask, {}, {},
                                                     {.group = 64, .rows = er::row_range{0, 6}});
  CHECK(result == expected);

  // Each group's gradients are those of the policy that the mask names.
  std::vector<float> grad(w.size()), of_high(w.size()), of_low(w.size()), of_mixed(w.size()),
      of_parts(w.size());
  for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = static_cast<float>(i + 1);
  const er::matrix_view<const float> grads = view(grad, rows, cols);
  er::straight_through_clipped<high>(in, grads, er::matrix_view<float>{of_high.data(), rows, cols});
  er::straight_through_clipped<low>(in, grads, er::matrix_view<float>{of_low.data(), rows, cols});
  er::straight_through_clipped_mixed<high, low>(
      in, grads, er::matrix_view<float>{of_mixed.data(), rows, cols}, mask);
  const er::matrix_view<float> parts{of_parts.data(), rows, cols};
  er::straight_through_clipped_mixed<high, low>(in, grads, parts, mask, {}, {},
                                                {.rows = er::row_range{0, 5}});
  CHECK(of_parts[5 * cols] == 0.0f);
  er::straight_through_clipped_mixed<er::int4<>, er::ternary<>>(
      in, grads, parts, mask, {}, {}, {.group = 64, .rows = er::row_range{5, rows}});
  CHECK(of_parts == of_mixed);
  er::straight_through_clipped_mixed<er::int4<>, er::ternary<>>(in, grads, parts, mask, {}, {},
                                                                {.group = 64});
  CHECK(of_parts == of_mixed);
  for (std::size_t i = 0; i < w.size(); ++i)
    CHECK(of_mixed[i] == (mask[i / cols * 4 + i % cols / 64] != 0 ? of_high[i] : of_low[i]));
  CHECK(of_low != of_high);

  std::vector<std::uint8_t> long_mask(mask.size() + 1);
  CHECK(sentence_of(
            [&] { er::straight_through_clipped_mixed<high, low>(in, grads, parts, long_mask); }) ==
        "straight_through_clipped_mixed: the mask has 45 entries, expected one for each of 11 x 4 "
        "groups");
  CHECK(sentence_of([&] {
          er::straight_through_clipped_mixed<high, low>(in, grads, parts, mask, {}, {},
                                                        {.rows = er::row_range{4, 12}});
        }) == "straight_through_clipped_mixed: rows 4 to 12 of a matrix of 11 x 200");
}

TEST_CASE(
    "activations: level * scale of quantize_activations, per group and per token, by every "
    "kernel") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t tokens = 5;
  for (const std::size_t cols : std::initializer_list<std::size_t>{1, 64, 100, 576}) {
    std::vector<float> x = random_values(tokens * cols, seed);
    std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(2 * cols), cols, 0.0f);  // a token of zeros
    for (std::size_t c = 0; c < cols; ++c) x[3 * cols + c] *= 1e-7f;  // one below epsilon
    for (const std::size_t group :
         {std::size_t{0}, std::size_t{32}, std::size_t{64}, std::size_t{100}}) {
      for (const er::activation_scales of :
           {er::activation_scales::of_groups, er::activation_scales::of_token}) {
        for (const er::kernel& kernel : er::available_kernels()) {
          CAPTURE(cols);
          CAPTURE(group);
          er::packed_activations packed(cols, group, tokens);
          er::quantize_activations(view(x, tokens, cols), packed, of, kernel);
          const bool whole_row = of == er::activation_scales::of_token;
          std::vector<float> result(x.size());
          er::fake_quantize<er::int8<>>(view(x, tokens, cols),
                                        er::matrix_view<float>{result.data(), tokens, cols}, {},
                                        {.group = whole_row ? 0 : group});
          for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t c = 0; c < cols; ++c) {
              const float scale = packed.scales(t)[c / packed.group_cols()];
              CHECK(result[t * cols + c] == static_cast<float>(packed.codes(t)[c]) * scale);
            }
        }
      }
    }
  }
}

TEST_CASE("keys and values: level * scale of kv_cache, whole heads and groups of a head") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t heads = 3, head_size = 40, positions = 7, cols = heads * head_size;
  const std::vector<float> keys = random_values(positions * cols, seed),
                           values = random_values(positions * cols, seed);
  for (const std::uint32_t group : {0u, 8u, 16u}) {  // 16 leaves a last group of 8
    CAPTURE(group);
    er::kv_cache cache(heads, head_size, positions, group);
    for (std::size_t p = 0; p < positions; ++p)
      cache.append(std::span{keys}.subspan(p * cols, cols),
                   std::span{values}.subspan(p * cols, cols));

    std::vector<float> by_head(keys.size()), by_token(keys.size());
    er::fake_quantize<er::int8<>>(
        view(values, positions * heads, head_size),
        er::matrix_view<float>{by_head.data(), positions * heads, head_size}, {}, {.group = group});
    std::vector<float> key_rows(positions * head_size), expected_keys(keys.size());
    for (std::size_t h = 0; h < heads; ++h) {
      er::dequantize(cache.keys(h), er::matrix_view<float>{key_rows.data(), positions, head_size});
      for (std::size_t p = 0; p < positions; ++p)
        for (std::size_t c = 0; c < head_size; ++c) {
          expected_keys[p * cols + h * head_size + c] = key_rows[p * head_size + c];
          const float scale = cache.value_scales(h)[p * cache.groups() + c / cache.group_cols()];
          CHECK(by_head[p * cols + h * head_size + c] ==
                static_cast<float>(cache.values(h)[p * head_size + c]) * scale);
        }
    }
    er::fake_quantize<er::int8<>>(
        view(keys, positions * heads, head_size),
        er::matrix_view<float>{by_head.data(), positions * heads, head_size}, {}, {.group = group});
    CHECK(by_head == expected_keys);
    if (head_size % (group == 0 ? head_size : group) == 0) {
      er::fake_quantize<er::int8<>>(view(keys, positions, cols),
                                    er::matrix_view<float>{by_token.data(), positions, cols}, {},
                                    {.group = group == 0 ? head_size : group});
      CHECK(by_token == expected_keys);
    }
  }
}

TEST_CASE_TEMPLATE("as_stored: exactly what packing gives back", Policy,
                   er::ternary<er::per_group<64>>, er::int4<er::per_group<64>, er::bfloat16>,
                   er::int4_asymmetric<er::per_channel>, er::int8<er::per_group<64>, float>) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t rows = 19, cols = 200;
  std::vector<float> w = random_values(rows * cols, seed);
  for (float& x : w) x *= 0.02f;
  const auto packed = er::pack<Policy>(view(w, rows, cols));
  std::vector<float> expected(w.size()), result(w.size()), unrounded(w.size());
  er::dequantize(packed.view(), er::matrix_view<float>{expected.data(), rows, cols});
  er::fake_quantize<er::as_stored<Policy>>(view(w, rows, cols),
                                           er::matrix_view<float>{result.data(), rows, cols});
  CHECK(result == expected);
  er::fake_quantize<Policy>(view(w, rows, cols),
                            er::matrix_view<float>{unrounded.data(), rows, cols});
  CHECK((result == unrounded) == std::is_same_v<typename Policy::scale_type, float>);

  // The parameters of the policy are kept.
  const auto rough = er::pack<Policy>(view(w, rows, cols), Policy{.epsilon = 1.0f});
  er::dequantize(rough.view(), er::matrix_view<float>{expected.data(), rows, cols});
  er::fake_quantize(view(w, rows, cols), er::matrix_view<float>{result.data(), rows, cols},
                    er::as_stored<Policy>{Policy{.epsilon = 1.0f}});
  CHECK(result == expected);
}

TEST_CASE("as_stored: mixed precision, and a scale that its type can't hold") {
  using high = er::int4<er::per_group<64>>;
  using low = er::ternary<er::per_group<64>>;
  const std::size_t rows = 16, cols = 130;
  std::vector<float> w = random_values(rows * cols, 5);
  const auto packed = er::pack_mixed<high, low>(view(w, rows, cols), er::every_nth_row{8});
  std::vector<float> expected(w.size()), result(w.size());
  er::dequantize(packed, er::matrix_view<float>{expected.data(), rows, cols});
  er::fake_quantize_mixed<er::as_stored<high>, er::as_stored<low>>(
      view(w, rows, cols), er::matrix_view<float>{result.data(), rows, cols}, er::every_nth_row{8});
  CHECK(result == expected);

  w[3 * cols + 70] = 1e6f;
  const auto stored = [&](auto policy) {
    er::fake_quantize(view(w, rows, cols), er::matrix_view<float>{result.data(), rows, cols},
                      policy);
  };
  CHECK(sentence_of([&] { stored(er::as_stored<er::int4<er::per_group<64>>>{}); }) ==
        "fake_quantize: the scale of the group at row 3, column 64 is out of the output's range");
  CHECK(sentence_of([&] { stored(er::int4<er::per_group<64>>{}); }) == "nothing was thrown");
  CHECK(sentence_of([&] { stored(er::as_stored<er::int4<er::per_group<64>, er::bfloat16>>{}); }) ==
        "nothing was thrown");
}

TEST_CASE("activations: NaN is named") {
  std::vector<float> x(12, 1.0f), out(12, -77.0f);
  x[11] = std::numeric_limits<float>::quiet_NaN();
  CHECK(sentence_of([&] {
          er::fake_quantize<er::int8<>>(view(x, 3, 4), er::matrix_view<float>{out.data(), 3, 4}, {},
                                        {.group = 2});
        }) == "value at row 2, column 3 is NaN: expected finite values");
  CHECK(out == std::vector<float>(12, -77.0f));
}
