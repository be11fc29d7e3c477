// SPDX-License-Identifier: Apache-2.0
// Codes out of 32-bit words, of every width and packing, held to the definition bit by bit.
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include "support/guarded.hpp"
#include <edgerazor/io/packed_words.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;
using enum er::word_packing;

TEST_SUITE_BEGIN("io/packed_words");

namespace {
/// Where bit `bit` of code i lies: a bit of all the words'.
std::size_t place(er::word_packing packing, unsigned bits, std::size_t i, unsigned bit) {
  const bool whole = bits == 1 || bits == 2 || bits == 4 || bits == 8;
  if (packing == padded) return i / (32 / bits) * 32 + i % (32 / bits) * bits + bit;
  if (packing == dense || whole) return i * bits + bit;
  std::size_t plane = i / 32 * 32 * bits;
  unsigned first = 0;
  for (const unsigned width : {4u, 2u, 1u}) {
    if ((bits & width) == 0) continue;
    if (bit < first + width) return plane + i % 32 * width + (bit - first);
    plane += 32 * width, first += width;
  }
  return SIZE_MAX;
}
}  // namespace

TEST_CASE("packed_words: every width and packing, of any number of codes") {
  std::mt19937 random(4);
  for (const er::word_packing packing : {dense, padded, planar}) {
    for (unsigned bits = 1; bits <= 8; ++bits) {
      for (const std::size_t count : {0, 1, 7, 8, 10, 15, 16, 31, 32, 33, 64, 95, 200}) {
        CAPTURE(static_cast<int>(packing));
        CAPTURE(bits);
        CAPTURE(count);
        std::vector<std::uint8_t> codes(count), read(count, 0xff);
        std::vector<std::uint32_t> words(er::packed_words(packing, bits, count));
        std::size_t last = 0;
        for (std::size_t i = 0; i < count; ++i) {
          codes[i] = static_cast<std::uint8_t>(random() % (1u << bits));
          for (unsigned bit = 0; bit < bits; ++bit) {
            const std::size_t at = place(packing, bits, i, bit);
            REQUIRE(at / 32 < words.size());
            words[at / 32] |= static_cast<std::uint32_t>(codes[i] >> bit & 1) << at % 32;
            last = std::max(last, at / 32 + 1);
          }
        }
        // A planar unit is all there; the others have no word too many.
        if (packing != planar) CHECK(last == words.size());
        const guarded::array<std::uint32_t> at_the_edge(words, guarded::edge::end);
        er::unpack_words(packing, bits, at_the_edge.data(), count, read.data());
        CHECK(read == codes);
      }
    }
  }
}

TEST_CASE("packed_words: sizes without overflow") {
  CHECK(er::packed_words(dense, 3, SIZE_MAX) == SIZE_MAX / 32 * 3 + 3);
  CHECK(er::packed_words(padded, 3, SIZE_MAX) == SIZE_MAX / 10 + 1);
  CHECK(er::packed_words(planar, 3, 33) == 6);
  CHECK(er::packed_words(planar, 4, 33) == 5);
}

TEST_CASE("packed_words: what is asked of a tensor, in one sentence") {
  const auto refused = [](const tensor& t, std::initializer_list<std::size_t> shape,
                          const char* sentence) {
    CHECK_THROWS_WITH_AS(er::detail::io::require_tensor(t, {i32, u32}, shape), sentence,
                         er::io_error);
  };
  tensor t("x.qweight", i32, {12, 32});
  CHECK_NOTHROW(er::detail::io::require_tensor(t, {i32}, {12, 32}));
  refused(t, {12, 33}, "tensor 'x.qweight' is I32 [12, 32], expected I32 or U32 [12, 33]");
  refused(t, {12}, "tensor 'x.qweight' is I32 [12, 32], expected I32 or U32 [12]");
  t.dtype = f32;
  refused(t, {12, 32}, "tensor 'x.qweight' is F32 [12, 32], expected I32 or U32 [12, 32]");
  t.dtype = u32;
  t.bytes.resize(8);
  refused(t, {12, 32}, "tensor 'x.qweight' is U32 [12, 32], expected the bytes of 384 elements");
  CHECK_NOTHROW(er::detail::io::require_tensor(tensor("s", i32, {}), {i32}, {1}));
  refused(tensor("s", i32, {}), {2}, "tensor 's' is I32 [], expected I32 or U32 [2]");
}

TEST_SUITE_END();
