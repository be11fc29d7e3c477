// SPDX-License-Identifier: Apache-2.0
// GPTQ's packed layers: the numbers of its own packer, its off-by-one versions, and broken tensors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "packed_layers.hpp"
#include <edgerazor/io/gptq.hpp>

namespace er = edgerazor;
using packed_layers::tensor;
using enum er::safetensors_dtype;

TEST_SUITE_BEGIN("io/gptq");

namespace {

/// The tensors of one layer, which can be broken.
struct layer {
  tensor qweight, qzeros, scales, g_idx;
  bool has_g_idx = true;
  er::gptq_settings settings;

  layer() = default;
  layer(const er::safetensors_reader& file, const std::string& name)
      : qweight(file.get(name + ".qweight")),
        qzeros(file.get(name + ".qzeros")),
        scales(file.get(name + ".scales")),
        g_idx(file.get(name + ".g_idx")) {}

  [[nodiscard]] er::packed_linear open() const {
    // What is opened refers to the layer's bytes.
    const er::safetensors_tensor index = g_idx;
    return er::gptq_linear("q_proj", qweight, qzeros, scales, has_g_idx ? &index : nullptr,
                           settings);
  }
};

struct golden_case {
  const char* name;
  unsigned bits;
  er::gptq_version version;
  const char* format;
};

using enum er::gptq_version;
constexpr golden_case golden_cases[] = {
    {"gptq_v2_2bit", 2, v2, "int2z_g32"},
    {"gptq_v2_3bit", 3, v2, "int3z_g32"},
    {"gptq_v2_4bit", 4, v2, "int4z_g32"},
    {"gptq_v2_8bit", 8, v2, "int8z_g32"},
    {"gptq_v2_4bit_sym_desc_act", 4, v2, "permuted(int4_g32)"},
    {"gptq_v2_4bit_channel", 4, v2, "int4_row"},
    {"gptq_p_3bit", 3, planar, "int3z_g32"},
    {"gptq_p_5bit", 5, planar, "int5z_g32"},
    {"gptq_v1_4bit_asym_zero", 4, v1, "int4z_g32"},
    {"gptq_v1_4bit_sym", 4, v1, "int4_g32"},
};

}  // namespace

TEST_CASE("gptq: the golden layers, to the bit, and multiplied by every kernel") {
  const er::safetensors_reader file = packed_layers::open("gptq");
  for (const golden_case& item : golden_cases) {
    const std::string name = item.name;
    CAPTURE(name);
    layer one(file, name);
    one.settings.bits = item.bits;
    one.settings.version = item.version;
    packed_layers::check(one.open(), file.get(name + ".weight"), item.format);

    one.settings.group = name.ends_with("channel") ? 96 : 32;
    one.has_g_idx = name.ends_with("desc_act");
    if (item.bits == 3 || item.bits == 5) one.settings.cols = 96;
    packed_layers::check(one.open(), file.get(name + ".weight"), item.format);
  }
}

TEST_CASE("gptq: a symmetric file is read by its zeros, whatever its label says") {
  const er::safetensors_reader file = packed_layers::open("gptq");
  for (const char* const name : {"gptq_v1_4bit_sym", "gptq_v2_4bit_channel"}) {
    for (const er::gptq_version version : {v1, v2}) {
      layer one(file, name);
      one.settings.version = version;
      one.settings.symmetric = true;
      packed_layers::check(one.open(), file.get(std::string{name} + ".weight"),
                           std::string{name}.ends_with("sym") ? "int4_g32" : "int4_row");
      one.qzeros.put(1, 0x77777787u);
      CHECK_THROWS_WITH_AS(static_cast<void>(one.open()),
                           doctest::Contains(".qzeros' of a symmetric layer: expected all zeros to "
                                             "be 8, or all 7 as v1 stores them"),
                           er::io_error);
    }
  }
}

TEST_CASE("gptq: v1 adds 1 to words, or to fields where those do not fill a word") {
  // Zeros 3, 0, 2, 1 of 2 bits are stored as 3 - 1, ...: the word less 0x55555555.
  layer one;
  one.settings.bits = 2;
  const std::uint32_t zeros = 3 | 0 << 2 | 2 << 4 | 1 << 6;
  one.qweight = tensor("q", i32, {1, 4});
  one.scales = tensor("s", f32, {1, 4}, std::vector<float>(4, 1.0f));
  one.qzeros = tensor("z", i32, {1, 1}, std::vector<std::uint32_t>{zeros - 0x55555555u});
  one.has_g_idx = false;
  const std::vector<float> values = packed_layers::decoded(one.open());
  for (std::size_t r = 0; r < 4; ++r)
    CHECK(values[r * 16] == -static_cast<float>(zeros >> 2 * r & 3u));

  one.settings.bits = 3;  // 10 codes in a word, as many as 30 bits hold
  one.qzeros = tensor("z", i32, {1, 1}, std::vector<std::uint32_t>{7 | 0 << 3 | 6 << 6 | 1 << 9});
  const std::vector<float> of_fields = packed_layers::decoded(one.open());
  const float expected[] = {0, -1, -7, -2};
  for (std::size_t r = 0; r < 4; ++r) CHECK(of_fields[r * 10] == expected[r]);
}

TEST_CASE("gptq: groups of columns that are not all of one size are decoded") {
  const er::safetensors_reader file = packed_layers::open("gptq");
  layer one(file, "gptq_v2_4bit_sym_desc_act");
  one.settings.version = v2;
  std::vector<float> expected = packed_layers::decoded(one.open());
  std::vector<std::int32_t> groups(96);
  std::memcpy(groups.data(), one.g_idx.bytes.data(), 96 * sizeof groups[0]);
  one.g_idx.put(0, groups[0] == 0 ? 1 : 0);
  const er::packed_linear linear = one.open();
  CHECK_FALSE(linear.exact_format());
  CHECK(linear.why_not_exact() == "its groups of columns are not all of one size");
  CHECK_THROWS_WITH_AS(static_cast<void>(linear.import_matrix()),
                       "'q_proj' (GPTQ v2, 4 bits, groups of 32) can't be copied exactly: its "
                       "groups of columns are not all of one size",
                       er::io_error);
  const std::vector<float> values = packed_layers::decoded(linear);
  std::size_t differs = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    differs += (values[i] != expected[i]) && i % 96 != 0;
  CHECK(differs == 0);
}

TEST_CASE("gptq: padding to whole words and tiles is left out") {
  const er::safetensors_reader file = packed_layers::open("gptq");
  layer one(file, "gptq_v2_4bit");
  one.settings.version = v2;
  const std::vector<float> all = packed_layers::decoded(one.open());
  one.settings.rows = 29, one.settings.cols = 71;
  one.settings.group = 32;
  const er::packed_linear linear = one.open();
  std::vector<float> expected;
  for (std::size_t r = 0; r < 29; ++r)
    expected.insert(expected.end(), all.begin() + static_cast<std::ptrdiff_t>(r * 96),
                    all.begin() + static_cast<std::ptrdiff_t>(r * 96 + 71));
  packed_layers::check(linear, expected, "int4z_g32");
  one.settings.cols = 97;
  CHECK_THROWS_WITH_AS(static_cast<void>(one.open()),
                       "GPTQ layer 'q_proj' has 96 inputs, expected 97", er::io_error);
  one.settings.cols = 0, one.settings.rows = 33;
  CHECK_THROWS_WITH_AS(static_cast<void>(one.open()),
                       "GPTQ layer 'q_proj' has 32 outputs, expected 33", er::io_error);
}

TEST_CASE("gptq: what is not as it should be is refused by name") {
  const er::safetensors_reader file = packed_layers::open("gptq");
  const layer good = [&] {
    layer one(file, "gptq_v2_4bit");
    one.settings.version = v2;
    return one;
  }();
  const auto refused = [&](const auto& breaks, const std::string& sentence) {
    layer one = good;
    breaks(one);
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(static_cast<void>(one.open()), doctest::Contains(sentence.c_str()),
                         er::io_error);
  };
  refused([](layer& l) { l.settings.bits = 9; }, "codes of 9 bits, expected 2 to 8");
  refused([](layer& l) { l.settings.bits = 8; },
          "'gptq_v2_4bit.qzeros' is I32 [3, 4], expected I32 or U32 [3, 8]");
  refused([](layer& l) { l.settings.group = 48; }, "expected 2 rows: groups of 48 in 96 inputs");
  refused([](layer& l) { l.qweight.dtype = f32; }, ".qweight' is F32 [12, 32], expected I32");
  refused([](layer& l) { l.qweight.shape = {384}; }, "expected a matrix");
  refused([](layer& l) { l.qweight.shape = {32, 12}; }, "expected 32 columns, as the scales have");
  refused([](layer& l) { l.qweight.bytes.pop_back(); }, "expected the bytes of 384 elements");
  refused([](layer& l) { l.qzeros.bytes.clear(); }, "expected the bytes of 12 elements");
  refused([](layer& l) { l.scales.shape = {0, 32}; }, ".scales' is F16 [0, 32]");
  refused([](layer& l) { l.g_idx.shape = {95}; }, ".g_idx' is I32 [95]");
  refused([](layer& l) { l.g_idx.put(5, 3); }, "the group of column 5 is 3, expected 0 to 2");
  refused([](layer& l) { l.g_idx.put(95, -1); }, "the group of column 95 is -1");
  refused([](layer& l) { l.scales.put(7, er::float16{INFINITY}.bits); },
          ".scales': element 7 is inf, expected a finite number");
  refused([](layer& l) { l.scales.put(9, er::float16{NAN}.bits); }, "element 9 is nan");
}

TEST_CASE("gptq: random layers are refused, or import to what they decode to") {
  packed_layers::check_random([](std::mt19937& random) {
    static layer one;  // the layer's bytes are referred to
    one = {};
    er::gptq_settings& settings = one.settings;
    settings.bits = static_cast<unsigned>(2 + random() % 7);
    settings.version = static_cast<er::gptq_version>(random() % 3);
    if (random() % 4 == 0) settings.symmetric = random() % 2 == 0;
    const std::size_t rows = 1 + random() % 70, groups = 1 + random() % 4,
                      group = 4 * (1 + random() % 16), cols = groups * group - random() % 4;
    const er::word_packing packing = settings.bits == 5 || settings.bits >= 6
                                         ? er::word_packing::planar
                                         : er::word_packing::dense;
    one.qweight = tensor("q", i32, {er::packed_words(packing, settings.bits, cols), rows});
    one.qzeros = tensor("z", i32, {groups, er::packed_words(packing, settings.bits, rows)});
    one.scales = tensor("s", random() % 2 == 0 ? f16 : bf16, {groups, rows});
    one.g_idx = tensor("g", i32, {cols});
    for (tensor* const t : {&one.qweight, &one.qzeros, &one.scales}) t->fill(random);
    for (std::size_t c = 0; c < cols; ++c)
      one.g_idx.put(c, static_cast<std::int32_t>(random() % 400 == 0 ? random() : c / group));
    settings.group = random() % 4 == 0 ? random() % 100 : group;
    return one.open();
  });
}

TEST_CASE("gptq: words that are no whole number of planes are refused") {
  for (const unsigned bits : {3u, 5u, 6u, 7u}) {
    CAPTURE(bits);
    const tensor q("q", i32, {bits + 1, 32}), z("z", i32, {1, bits}), s("s", f16, {1, 32});
    CHECK_THROWS_WITH_AS((void)er::gptq_linear("l", q, z, s, nullptr,
                                               {.bits = bits, .version = er::gptq_version::planar}),
                         doctest::Contains("'q' is I32"), er::io_error);
  }
}

TEST_SUITE_END();
