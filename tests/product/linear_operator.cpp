// SPDX-License-Identifier: Apache-2.0
/// Sums of matrices with stages before them: the input prepared once, rows added by anyone.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "product/executors.hpp"
#include "support/allocation_count.hpp"
#include "support/row_views.hpp"
#include "support/samples.hpp"
#include <edgerazor/kernel/dispatch.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/policy/with_scale.hpp>
#include <edgerazor/product/fused.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/linear_operator");

namespace {

using w4 = er::int4<er::per_group<16>>;
using w2 = er::ternary<er::per_group<64>>;

static_assert(er::linear_operator<er::packed_view>);
static_assert(er::linear_operator<er::packed_matrix<w4>>);
static_assert(er::linear_operator<er::mixed_matrix>);
static_assert(er::linear_operator<er::sparse_matrix>);
static_assert(er::linear_operator<er::any_matrix>);
static_assert(er::linear_operator<er::sum_of>);
static_assert(er::linear_operator<er::scaled_columns>);
static_assert(er::linear_operator<er::permuted_columns>);
static_assert(er::linear_operator<er::low_rank>);
static_assert(er::linear_operator<er::rotated>);
static_assert(!er::linear_operator<std::vector<float>>);

std::vector<float> draw(std::size_t count, std::mt19937& random) {
  return samples::draw(samples::nth_kind(0), count, random);
}
er::matrix_view<const float> view_of(const std::vector<float>& v, std::size_t rows) {
  return {v.data(), rows, v.size() / rows};
}
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Matrices of one shape, of every kind, and what can be composed of them; and U and V whose
/// product has that shape.
struct parts {
  std::size_t rows, cols, rank;
  std::vector<float> weights, h, h2, h_rank;
  std::vector<std::uint32_t> p;
  er::packed_matrix<w4> four;
  er::packed_matrix<w2> ternary;
  er::mixed_matrix mixed;
  er::sparse_matrix sparse;
  er::any_matrix half, u4, u_half, v2, v_half;
  er::hadamard whole{1};  ///< of as many columns as there is one for

  parts(std::size_t row_count, std::size_t col_count, std::mt19937& random)
      : rows(row_count), cols(col_count), rank(1 + col_count / 5) {
    weights = draw(rows * cols, random), h = draw(cols, random), h2 = draw(cols, random);
    p.resize(cols);
    std::iota(p.begin(), p.end(), 0u);
    std::shuffle(p.begin(), p.end(), random);
    const er::matrix_view<const float> w{weights.data(), rows, cols};
    four = er::pack<w4>(w);
    ternary = er::pack<w2>(w);
    mixed = er::pack_mixed<er::int4<er::per_group<64>>, w2>(w, er::every_nth_row{3});
    half = er::any_matrix::pack(*er::matrix_format::parse("f16"), w);
    h_rank = draw(rank, random);
    for (std::size_t n = 1; n <= cols; ++n)
      if (cols % n == 0 && er::hadamard::has_order(n)) whole = er::hadamard{n};
    const std::vector<float> u = draw(rows * rank, random), v = draw(rank * cols, random);
    const auto packed = [](const char* name, const std::vector<float>& from, std::size_t count) {
      return er::any_matrix::pack(*er::matrix_format::parse(name), view_of(from, count));
    };
    u4 = packed("int4_g16", u, rows), u_half = packed("f16", u, rows);
    v2 = packed("ternary2_g64", v, rank), v_half = packed("f16", v, rank);
    std::vector<er::sparse_entry> entries;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c) {
        if (random() % 16 == 0) entries.push_back({r, c, weights[r * cols + c]});
      }
    }
    sparse = er::sparse_matrix(rows, cols, entries);
  }

  [[nodiscard]] std::vector<er::matrix_sum> compositions() const {
    return {er::sum_of{four, sparse},
            er::sum_of{sparse, four},
            er::sum_of{sparse},
            er::sum_of{four, ternary, mixed, half, sparse},
            er::scaled_columns{h, four},
            er::permuted_columns{p, er::sum_of{four, sparse}},
            er::sum_of{er::scaled_columns{h, er::permuted_columns{p, four}},
                       er::permuted_columns{p, er::scaled_columns{h, ternary}}, half},
            er::scaled_columns{h2, er::sum_of{mixed, er::scaled_columns{h, sparse}}},
            er::sum_of{four, er::low_rank{u4, v2}},
            er::sum_of{er::rotated{whole, er::sum_of{four, sparse}}, ternary},
            er::scaled_columns{h, er::rotated{whole, er::low_rank{u_half, v2}}},
            er::low_rank{u_half, v_half},
            er::permuted_columns{p, er::sum_of{er::low_rank{er::scaled_columns{h_rank, u4}, v_half},
                                               sparse, er::low_rank{er::sum_of{u_half, u4}, v2}}}};
  }
};

/// The input, and row r of y += w x, as they are defined: in the order of parts, each by what a
/// product of that part alone is.
std::vector<float> expected(const er::matrix_sum& sum, er::matrix_view<const float> x,
                            bool quantized, const er::kernel* kernel) {
  std::vector<std::vector<float>> inputs(1);
  for (std::size_t t = 0; t < x.rows; ++t)
    inputs[0].insert(inputs[0].end(), x.row(t).begin(), x.row(t).end());
  const auto input = [&](std::size_t i) { return view_of(inputs[i], x.rows); };
  for (const er::matrix_sum::stage& s : sum.stages()) {
    if (s.kind == er::input_stage::projected) {
      const er::weight_ref v{s.matrix};
      std::vector<float> made(x.rows * v.rows());
      const er::matrix_view<float> out{made.data(), x.rows, v.rows()};
      if (quantized && !v.is_dense()) {
        er::packed_activations x8(v.cols(), v.group_cols(), x.rows);
        er::gemm(v, er::quantize_activations(input(s.from), x8, {.kernel = kernel}), out,
                 {.kernel = kernel});
      } else {
        er::gemm(v, er::unquantized{input(s.from)}, out, {.kernel = kernel});
      }
      inputs.push_back(made);
      continue;
    }
    if (s.kind == er::input_stage::rotated) {
      inputs.push_back(inputs[s.from]);
      er::hadamard{s.block}.transform(inputs.back());
      continue;
    }
    std::vector<float> made(inputs[s.from].size());
    const std::size_t cols = made.size() / x.rows;
    for (std::size_t i = 0; i < made.size(); ++i) {
      const std::size_t c = i % cols;
      made[i] = s.kind == er::input_stage::scaled ? inputs[s.from][i] * s.factors[c]
                                                  : inputs[s.from][i - c + s.columns[c]];
    }
    inputs.push_back(made);
  }
  std::vector<float> y(x.rows * sum.rows(), 0.0f);
  for (const er::matrix_sum::part& p : sum.parts()) {
    const er::matrix_view<const float> in = input(p.input);
    if (const er::sparse_view* const sparse = p.matrix.sparse()) {
      for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t r = 0; r < sum.rows(); ++r) {
          float& to = y[t * sum.rows() + r];
          for (const er::sparse_step& step : sparse->steps(r / 16)) {
            const float value = step.values[r % 16];
            if (value != 0) to = std::fma(value, in.row(t)[step.columns[r % 16]], to);
          }
        }
      }
      continue;
    }
    if (const er::dense_view* const dense = p.matrix.dense()) {
      const er::any_matrix one = er::any_matrix::from_bytes(
          *er::matrix_format::parse("f16"), dense->rows, dense->cols, dense->bytes());
      std::vector<float> z(y.size());
      er::gemm(one, er::unquantized{in}, {z.data(), x.rows, sum.rows()}, {.kernel = kernel});
      for (std::size_t i = 0; i < y.size(); ++i) y[i] += z[i];
      continue;
    }
    // What a packed part adds, group by group, starts from what is there: by add(), whose own start
    // is tested against gemm below.
    er::packed_activations x8(in.cols, p.matrix.code_group(), x.rows);
    const er::activation_view codes = er::quantize_activations(in, x8, {.kernel = kernel});
    const er::matrix_view<float> out{y.data(), x.rows, sum.rows()};
    p.matrix.visit([&](const auto& m) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m)>, er::packed_view> ||
                    std::is_same_v<std::remove_cvref_t<decltype(m)>, er::mixed_matrix>) {
        if (quantized) {
          er::add(m, codes, out, {.kernel = kernel});
        } else {
          er::add(m, er::unquantized{in}, out, {.kernel = kernel});
        }
      }
    });
  }
  return y;
}

struct prepared {
  std::vector<std::byte> room;
  er::prepared_input x;
  prepared(const er::weight_ref& w, er::matrix_view<const float> tokens, bool quantized = true,
           const er::kernel* kernel = nullptr)
      : room(er::input_bytes(w, tokens.rows, quantized)),
        x(er::prepare(w, tokens, room, {.quantized = quantized, .kernel = kernel})) {}
};

}  // namespace

TEST_CASE("linear_operator: parts in their order, on every kernel, in any split, the same bits") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  constexpr std::size_t shapes[][2] = {{1, 1}, {16, 64}, {33, 100}, {50, 191}, {70, 256}};
  for (const auto& shape : shapes) {
    const std::size_t rows = shape[0], cols = shape[1];
    const parts all(rows, cols, random);
    for (const std::size_t tokens : {1u, 3u, 9u, 70u}) {
      const std::vector<float> x = draw(tokens * cols, random);
      const er::matrix_view<const float> view = view_of(x, tokens);
      for (const er::matrix_sum& sum : all.compositions()) {
        for (const bool quantized : {true, false}) {
          const std::string name = sum.name();
          CAPTURE(rows);
          CAPTURE(cols);
          CAPTURE(tokens);
          CAPTURE(name);
          CAPTURE(quantized);
          const std::vector<float> y = expected(sum, view, quantized, er::find_kernel("scalar"));
          for (const er::kernel& k : er::available_kernels()) {
            CAPTURE(k.name);
            const prepared in(sum, view, quantized, &k);
            std::vector<float> z(y.size(), 9.0f);
            const er::matrix_view<float> out{z.data(), tokens, rows};
            er::gemm(sum, in.x, out, {.kernel = &k});
            CHECK(same_bits(z, y));
            std::fill(z.begin(), z.end(), 0.0f);
            const std::size_t a = random() % (rows + 1), b = a + random() % (rows - a + 1);
            for (const er::row_range part : {er::row_range{b, rows}, {0, a}, {a, b}})
              er::add(sum, in.x, out, {.rows = part, .kernel = &k});
            CHECK(same_bits(z, y));
          }
          const prepared in(sum, view, quantized);
          std::vector<float> z(y.size(), 9.0f);
          // Some tokens of what was prepared, wherever they begin.
          const std::size_t first = random() % tokens,
                            past = first + 1 + random() % (tokens - first);
          er::gemm(sum, in.x.tokens_between(first, past),
                   {z.data() + first * rows, past - first, rows});
          CHECK(std::memcmp(z.data() + first * rows, y.data() + first * rows,
                            (past - first) * rows * sizeof(float)) == 0);
          const executors::threads pool{3};
          er::gemm(sum, in.x, {z.data(), tokens, rows}, {.executor = pool});
          CHECK(same_bits(z, y));
          for (std::size_t t = 0; t < tokens; ++t) {
            std::vector<float> one(rows);
            if (quantized) {
              er::gemv(sum, view.row(t), std::span<float>{one});
            } else {
              er::gemv(sum, in.x.tokens_between(t, t + 1), std::span<float>{one});
            }
            CHECK(std::memcmp(one.data(), y.data() + t * rows, rows * sizeof(float)) == 0);
          }
        }
      }
    }
  }
}

namespace {
/// What the weights of a stage's columns come to, at most, as weights of those it is made of.
std::vector<double> magnitudes_before(const er::matrix_sum::stage& s,
                                      const std::vector<double>& weights) {
  if (s.kind == er::input_stage::projected) {
    const er::weight_ref v{s.matrix};
    std::vector<double> result(v.cols());
    std::vector<float> row(v.cols());
    for (std::size_t k = 0; k < weights.size(); ++k) {
      er::look_up_row(v, k, row);
      for (std::size_t c = 0; c < row.size(); ++c)
        result[c] += std::fabs(weights[k] * double{row[c]});
    }
    return result;
  }
  std::vector<double> result(weights.size());
  for (std::size_t c = 0; c < weights.size() && s.kind == er::input_stage::rotated; ++c) {
    for (std::size_t k = c / s.block * s.block; k < (c / s.block + 1) * s.block; ++k)
      result[c] += std::fabs(weights[k]) / std::sqrt(static_cast<double>(s.block));
  }
  for (std::size_t c = 0; c < weights.size(); ++c) {
    if (s.kind == er::input_stage::scaled) result[c] = weights[c] * double{s.factors[c]};
    if (s.kind == er::input_stage::permuted) result[s.columns[c]] = weights[c];
  }
  return result;
}
}  // namespace

TEST_CASE("linear_operator: the sum of what its rows hold, in float64") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  constexpr std::size_t rows = 45, cols = 300;
  const parts all(rows, cols, random);
  const std::vector<float> x = draw(cols, random);
  for (const er::matrix_sum& sum : all.compositions()) {
    const std::string name = sum.name();
    CAPTURE(name);
    const prepared in(sum, view_of(x, 1), false);
    std::vector<float> y(rows), row(cols);
    er::gemv(sum, in.x, std::span<float>{y});
    for (std::size_t r = 0; r < rows; ++r) {
      er::look_up_row(sum, r, row);
      double exact = 0, magnitude = 0;
      for (std::size_t c = 0; c < cols; ++c) exact += double{row[c]} * x[c];
      // Magnitudes of the parts, which may cancel in the row.
      for (const er::matrix_sum::part& p : sum.parts()) {
        std::vector<float> alone(p.matrix.cols());
        er::look_up_row(er::weight_ref{p.matrix}, r, alone);
        std::vector<double> weights(alone.begin(), alone.end());
        for (std::size_t i = p.input; i != 0; i = sum.stages()[i - 1].from)
          weights = magnitudes_before(sum.stages()[i - 1], weights);
        for (std::size_t c = 0; c < cols; ++c) magnitude += std::fabs(weights[c] * double{x[c]});
      }
      // Each product passes at most all additions of its part and of the sum, those of V x and, in
      // the row, of U V, and two factors.
      const double terms = 7.0 * static_cast<double>(cols) + 10;
      CHECK(std::fabs(y[r] - exact) <= 0x1p-24 * terms * magnitude);
    }
  }
}

TEST_CASE("linear_operator: the order of parts is the order of addition") {
  const std::vector<float> one{1}, huge{1};
  const er::sparse_entry big{0, 0, 60000.0f}, less{0, 0, -60000.0f}, little{0, 0, 0x1p-12f};
  const er::sparse_matrix a(1, 1, std::span{&big, 1}), b(1, 1, std::span{&less, 1}),
      c(1, 1, std::span{&little, 1});
  std::vector<float> y(1);
  er::gemv(er::sum_of{a, b, c}, std::span<const float>{one}, std::span<float>{y});
  CHECK(y[0] == 0x1p-12f);
  er::gemv(er::sum_of{a, c, b}, std::span<const float>{one}, std::span<float>{y});
  CHECK(y[0] == 0.0f);  // lost in 60000, whose unit is 2^-8
}

namespace {
std::atomic<std::size_t> groups_quantized = 0;
std::int32_t counting_quantize(const float* x, std::size_t cols, float scale,
                               std::int8_t* codes) noexcept {
  ++groups_quantized;
  return er::find_kernel("scalar")->functions->quantize(x, cols, scale, codes);
}
}  // namespace

TEST_CASE("prepare: what several parts or matrices ask for is made once") {
  std::mt19937 random(3);
  constexpr std::size_t rows = 20, cols = 128;
  const parts all(rows, cols, random), other(rows, cols, random);
  er::detail::kernel::functions functions = *er::find_kernel("scalar")->functions;
  functions.quantize = &counting_quantize;
  const er::kernel counting{"counting", &functions};
  const std::vector<float> x = draw(cols, random);
  const auto count = [&](std::span<const er::weight_ref> matrices) {
    std::vector<std::byte> room(er::input_bytes(matrices, 1));
    groups_quantized = 0;
    const er::prepared_input in = er::prepare(matrices, view_of(x, 1), room, {.kernel = &counting});
    for (const er::weight_ref& w : matrices) {
      const prepared alone(w, view_of(x, 1));
      std::vector<float> y(rows), z(rows);
      er::gemv(w, in, std::span<float>{y});
      er::gemv(w, alone.x, std::span<float>{z});
      CHECK(same_bits(y, z));
    }
    return groups_quantized.load();
  };
  const std::vector<std::uint32_t> copy = all.p;
  const er::sum_of plain{all.four, all.sparse, other.four}, two{all.four, all.ternary};
  const er::permuted_columns q{all.p, er::sum_of{all.four, all.sparse}}, k{copy, other.four},
      v{all.p, other.ternary};
  const er::scaled_columns own{all.h, all.four}, same{all.h, other.four},
      foreign{other.h, all.four};
  CHECK(count(std::array<er::weight_ref, 1>{plain}) == 8);    // 8 groups of 16
  CHECK(count(std::array<er::weight_ref, 1>{two}) == 8 + 2);  // 2 of 64
  CHECK(count(std::array<er::weight_ref, 2>{q, k}) == 8);     // one permutation
  CHECK(count(std::array<er::weight_ref, 3>{q, k, v}) == 8 + 2);
  CHECK(count(std::array<er::weight_ref, 2>{own, same}) == 8);
  CHECK(count(std::array<er::weight_ref, 2>{own, foreign}) == 16);
  CHECK(count(std::array<er::weight_ref, 3>{all.four, plain, own}) == 16);
}

TEST_CASE("prepare: V x is made once for all that ask for it, its rows by all threads") {
  std::mt19937 random(7);
  constexpr std::size_t rows = 20, cols = 128;
  const parts all(rows, cols, random), other(rows, cols, random);
  const er::low_rank one{all.u4, all.v2}, again{other.u4, all.v2}, copy{all.u_half, other.v2};
  const auto bytes = [](auto... w) {
    return er::input_bytes(std::array<er::weight_ref, sizeof...(w)>{w...}, 1);
  };
  const std::size_t alone = bytes(er::weight_ref{one});
  // Only the list of items may grow: codes of x, V x, codes of V x are one each.
  CHECK(bytes(er::weight_ref{one}, er::weight_ref{again}) <= alone + 128);
  CHECK(bytes(er::weight_ref{one}, er::weight_ref{copy}) > alone + 4 * all.rank);

  constexpr std::size_t tall = 5000, wide = 64, tokens = 2;
  const std::vector<float> x = draw(tokens * wide, random);
  const er::any_matrix v = er::any_matrix::pack(*er::matrix_format::parse("int4_g64"),
                                                view_of(draw(tall * wide, random), tall)),
                       u = er::any_matrix::pack(*er::matrix_format::parse("int4_g64"),
                                                view_of(draw(3 * tall, random), 3));
  const er::low_rank w{u, v};
  for (const std::size_t count : {std::size_t{1}, tokens}) {
    const er::matrix_view<const float> some{x.data(), count, wide};
    std::atomic<std::size_t> grains = 0;
    const auto executor = [&](std::size_t n, auto&& work) {
      grains += n;
      executors::threads{3}(n, work);
    };
    std::vector<std::byte> room(er::input_bytes(w, count));
    std::vector<float> y(count * 3), z(count * 3);
    er::gemm(w, er::prepare(w, some, room, {.executor = executor}), {y.data(), count, 3});
    CHECK(grains > 1);
    const prepared in(w, some);
    er::gemm(w, in.x, {z.data(), count, 3});
    CHECK(same_bits(y, z));
    grains = 0;
    std::vector<float> one_token(3);
    er::gemv(w, some.row(0), std::span<float>{one_token}, {.executor = executor});
    CHECK(grains > 1);
    CHECK(std::memcmp(one_token.data(), y.data(), 3 * sizeof(float)) == 0);
  }
}

TEST_CASE("prepare: codes by another policy are those of quantize_activations") {
  std::mt19937 random(8);
  constexpr std::size_t rows = 40, cols = 100, tokens = 3;
  const parts all(rows, cols, random);
  const std::vector<float> x = draw(tokens * cols, random);
  const er::activation_policy policy = er::integer_zero<4>{};
  for (const er::kernel& k : er::available_kernels()) {
    er::packed_activations x8(cols, 16, tokens);
    const er::activation_view codes =
        er::quantize_activations(view_of(x, tokens), x8, {.kernel = &k, .policy = policy});
    std::vector<float> y(tokens * rows), z(tokens * rows);
    er::gemm(all.four, codes, {y.data(), tokens, rows}, {.kernel = &k});
    er::add(all.sparse, er::unquantized{view_of(x, tokens)}, {y.data(), tokens, rows},
            {.kernel = &k});
    const er::sum_of sum{all.four, all.sparse};
    std::vector<std::byte> room(er::input_bytes(sum, tokens));
    er::gemm(sum, er::prepare(sum, view_of(x, tokens), room, {.kernel = &k, .policy = policy}),
             {z.data(), tokens, rows}, {.kernel = &k});
    CHECK(same_bits(y, z));
    CHECK_THROWS_WITH_AS((void)er::prepare(sum, view_of(x, tokens), room,
                                           {.policy = er::with_scale<er::ternary<>>{-1}}),
                         "prepare: the policy gives a zero the scale -1.000000, expected a finite "
                         "one of at least 0",
                         std::invalid_argument);
  }
}

TEST_CASE("prepare: fused and gated products take what was prepared for all of them") {
  std::mt19937 random(4);
  constexpr std::size_t rows = 70, cols = 160, tokens = 6;
  const parts one(rows, cols, random), two(rows, cols, random);
  const er::permuted_columns q{one.p, er::sum_of{one.four, one.sparse}}, k{one.p, two.four};
  const er::sum_of gate{one.four, one.sparse}, up{two.four, two.sparse};
  const std::vector<float> x = draw(tokens * cols, random);
  const er::weight_ref matrices[] = {q, k, one.ternary, gate, up};
  std::vector<std::byte> room(er::input_bytes(matrices, tokens));
  const executors::threads pool{2};
  const er::prepared_input in = er::prepare(matrices, view_of(x, tokens), room, {.executor = pool});
  std::vector<std::vector<float>> y(5, std::vector<float>(tokens * rows)), z = y;
  std::vector<er::fused_product> products;
  for (std::size_t i = 0; i < 5; ++i) {
    products.emplace_back(matrices[i], er::matrix_view<float>{y[i].data(), tokens, rows});
    er::gemm(matrices[i], in, {z[i].data(), tokens, rows});
  }
  er::gemm_fused(products, in, {.executor = pool});
  for (std::size_t i = 0; i < 5; ++i) CHECK(same_bits(y[i], z[i]));
  std::vector<float> gated(tokens * rows), expected_gated(tokens * rows);
  er::gemm_gated(gate, up, in, {gated.data(), tokens, rows}, {.executor = pool});
  er::silu_product(z[3], z[4], expected_gated);
  CHECK(same_bits(gated, expected_gated));
}

TEST_CASE("prepare, add: nothing is allocated; the room may begin anywhere") {
  std::mt19937 random(5);
  constexpr std::size_t rows = 33, cols = 100, tokens = 3;
  const parts all(rows, cols, random);
  const std::vector<float> x = draw(tokens * cols, random);
  for (const er::matrix_sum& sum : all.compositions()) {
    std::vector<std::byte> room(er::input_bytes(sum, tokens) + 7);
    std::vector<float> y(tokens * rows);
    const er::matrix_view<float> out{y.data(), tokens, rows};
    const std::size_t before = allocation_count;
    const er::prepared_input in = er::prepare(
        sum, view_of(x, tokens), std::span{room}.subspan(7, er::input_bytes(sum, tokens)));
    er::add(sum, in, out);
    er::gemm(sum, in, out, {.rows = er::row_range{3, 30}});
    CHECK(allocation_count == before);
    if (room.size() < 256) continue;  // there is nothing to be made
    CHECK_THROWS_WITH_AS(
        (void)er::prepare(sum, view_of(x, tokens),
                          std::span{room}.subspan(0, er::input_bytes(sum, tokens) / 2)),
        doctest::Contains("(input_bytes)"), std::invalid_argument);
  }
}

TEST_CASE("linear_operator: an input that a part can't take is refused in a sentence") {
  std::mt19937 random(6);
  constexpr std::size_t rows = 20, cols = 64;
  const parts all(rows, cols, random), other(rows, cols, random);
  const std::vector<float> x = draw(cols, random);
  std::vector<float> y(rows, 5.0f);
  const std::span<float> out{y};
  er::packed_activations room(cols, 16);
  const er::activation_view x8 = er::quantize_activations(view_of(x, 1), room);
  const er::unquantized reals{view_of(x, 1)};
  const auto refused = [&](const er::weight_ref& w, const er::product_input& in,
                           const std::string& sentence) {
    CHECK_THROWS_WITH_AS(er::gemv(w, in, out), doctest::Contains(sentence.c_str()),
                         std::invalid_argument);
    CHECK_THROWS_AS(er::add(w, in, {y.data(), 1, rows}), std::invalid_argument);
  };
  refused(all.sparse, x8, "a sparse matrix takes float activations, not int8");
  refused(er::sum_of{all.four, all.sparse}, x8,
          "a sum of matrices that take different inputs needs one that was prepared for it");
  refused(er::scaled_columns{all.h, all.four}, reals,
          "a sum of matrices that take different inputs needs one that was prepared for it");
  refused(er::sum_of{all.four, all.ternary}, x8,
          "groups of 64 columns and activations in groups of 16");
  refused(er::sum_of{all.four, all.sparse}, prepared(all.sparse, view_of(x, 1)).x,
          "the input was not prepared for weights in groups of 16 columns");
  refused(er::scaled_columns{all.h, all.four},
          prepared(er::scaled_columns{other.h, all.four}, view_of(x, 1)).x,
          "was not prepared for weights in groups of 16 columns");
  for (const float value : y) CHECK(value == 5.0f);

  // A sum without stages is multiplied by floats, and by int8 that all its parts take.
  std::vector<float> z(rows);
  er::gemv(er::sum_of{all.four, all.sparse, all.half}, reals, out);
  er::gemv(er::sum_of{all.four, other.four}, x8, out);
  er::add(all.four, x8, {z.data(), 1, rows});
  er::add(other.four, x8, {z.data(), 1, rows});
  CHECK(same_bits(y, z));
  CHECK_THROWS_WITH_AS(
      (void)er::input_bytes(std::array<er::weight_ref, 2>{all.four, er::packed_matrix<w4>(3, 32)},
                            1),
      doctest::Contains("matrices of 64 and of 32 columns"), std::invalid_argument);
  CHECK_THROWS_AS((void)er::input_bytes(all.four, SIZE_MAX / 64), std::invalid_argument);
}

TEST_CASE("sparse part: what pads a row neither changes the sign of a zero nor meets a NaN") {
  const std::vector<er::sparse_entry> entries{{0, 1, 1.0f}, {0, 2, -1.0f}, {1, 2, 2.0f}};
  const er::sparse_matrix w(3, 3, entries);
  for (const er::kernel& k : er::available_kernels()) {
    CAPTURE(k.name);
    const std::vector<float> x{NAN, 1, INFINITY};
    std::vector<float> y{-0.0f, -0.0f, -0.0f};
    er::add(w, er::unquantized{view_of(x, 1)}, {y.data(), 1, 3}, {.kernel = &k});
    CHECK(y[0] == -INFINITY);
    CHECK(y[1] == INFINITY);
    CHECK(std::signbit(y[2]));
    CHECK(y[2] == 0);
  }
}

TEST_CASE("prepare: what the executor throws is the host's, as in gemm") {
  using row_views::view;
  struct gone {
    void operator()(std::size_t, er::grain_work) const { throw std::runtime_error("gone"); }
  } pool;
  std::vector<float> w(16 * 4096, 1), x(64 * 4096, 1);
  const auto packed = er::pack<er::ternary<er::per_group<64>>>(view(w, 16));
  std::vector<std::byte> room(er::input_bytes(packed, 64));
  CHECK_THROWS_AS((void)er::prepare(packed, view(x, 64), room, {.executor = pool}),
                  std::runtime_error);
}

TEST_SUITE_END();
