// SPDX-License-Identifier: Apache-2.0
/// Memory for int8 activations: where codes, scales and sums lie, and views of parts.
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <utility>

#include <doctest/doctest.h>

#include <edgerazor/matrix/activations.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/activations");

using sizes = std::initializer_list<std::size_t>;

TEST_CASE("packed_activations: codes, scales and sums of every token have places of their own") {
  for (const std::size_t tokens : sizes{1, 2, 7}) {
    for (const std::size_t cols : sizes{1, 3, 63, 64, 65, 576}) {
      for (const std::size_t group : sizes{0, 4, 64, 256}) {
        CAPTURE(tokens);
        CAPTURE(cols);
        CAPTURE(group);
        er::packed_activations memory(cols, group, tokens);
        const std::size_t columns = group == 0 ? cols : group,
                          groups = (cols + columns - 1) / columns;
        CHECK(memory.groups() == groups);
        CHECK(memory.group_cols() == columns);
        CHECK(memory.max_tokens() == tokens);
        CHECK(memory.cols() == cols);
        for (std::size_t t = 0; t < tokens; ++t) {
          for (std::size_t c = 0; c < cols; ++c)
            memory.codes(t)[c] = static_cast<std::int8_t>(t + c);
          for (std::size_t g = 0; g < groups; ++g) {
            memory.scales(t)[g] = static_cast<float>(100 * t + g);
            memory.sums(t)[g] = -static_cast<std::int32_t>(100 * t + g);
          }
        }
        const er::activation_view view = memory.view();
        CHECK(view.tokens == tokens);
        CHECK(view.groups() == groups);
        CHECK(view.code_stride % 64 == 0);
        std::size_t wrong = 0;
        for (std::size_t t = 0; t < tokens; ++t) {
          const er::activation_view one = view.tokens_between(t, t + 1);
          wrong += one.tokens != 1;
          for (std::size_t c = 0; c < cols; ++c)
            wrong += one.codes[c] != static_cast<std::int8_t>(t + c);
          for (std::size_t c = cols; c % 4 != 0; ++c) wrong += one.codes[c] != 0;
          for (std::size_t g = 0; g < groups; ++g) {
            wrong += one.scales[g] != static_cast<float>(100 * t + g) ||
                     one.sums[g] != -static_cast<std::int32_t>(100 * t + g);
          }
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("activation_view: some columns, from a whole group on") {
  er::packed_activations memory(100, 32, 2);
  const er::activation_view view = memory.view(), part = view.cols_from(64, 36);
  CHECK(part.codes == view.codes + 64);
  CHECK(part.scales == view.scales + 2);
  CHECK(part.sums == view.sums + 2);
  CHECK(part.cols == 36);
  CHECK(part.groups() == 2);
  CHECK(part.tokens_between(1, 2).scales == view.scales + view.group_stride + 2);
  CHECK(memory.view(1).tokens == 1);
  CHECK(memory.view(0).tokens == 0);
}

TEST_CASE("packed_activations: what is refused") {
  using error = std::invalid_argument;
  CHECK_THROWS_WITH_AS(er::packed_activations(0, 64),
                       "packed activations: expected at least one token and one column, got 1 x 0",
                       error);
  CHECK_THROWS_AS(er::packed_activations(64, 64, 0), error);
  const er::packed_activations memory(64, 64, 3);
  CHECK_THROWS_WITH_AS((void)memory.view(4), "packed activations: hold 3 tokens, asked for 4",
                       error);
}

TEST_CASE("packed_activations: a size that wraps is refused, and a moved one holds nothing") {
  using error = std::invalid_argument;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  // A token of 64 columns takes 72 bytes, one of 4 groups 64 + 5 * 8.
  for (const std::size_t tokens : {most / 72 + 2, most / 104 + 1, most / 64, most})
    CHECK_THROWS_AS(er::packed_activations(64, 64, tokens), error);
  for (const std::size_t cols : {most, most - 62, most - 63, most / 2, most / 200})
    CHECK_THROWS_AS(er::packed_activations(cols, 64), error);
  CHECK_THROWS_WITH_AS(er::packed_activations(64, 64, most / 2),
                       "packed activations: 9223372036854775807 x 64 x 256 is too large", error);
  er::packed_activations memory(64, 32, 3);
  const er::packed_activations taken{std::move(memory)};
  CHECK(taken.view().tokens == 3);
  CHECK(memory.max_tokens() == 0);  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(memory.cols() == 0);
  CHECK(memory.groups() == 0);
  CHECK(memory.view().tokens == 0);
  CHECK_THROWS_AS((void)memory.view(1), error);
}

TEST_CASE("a group whose tables no memory holds is refused") {
  constexpr std::size_t wraps = (std::size_t{6} << 58) - 4;
  CHECK_THROWS_AS(er::packed_activations(64, wraps, 1, nullptr, er::activation_tables::of_triples),
                  std::invalid_argument);
  CHECK_THROWS_AS(er::packed_activations(64, std::numeric_limits<std::size_t>::max()),
                  std::invalid_argument);
}

TEST_SUITE_END();
