// SPDX-License-Identifier: Apache-2.0
// Export copies codes: what each layout's own formula gives for the written tensors is what the
// matrix dequantizes to, bit for bit. tests/python/check_safetensors.py asks the layouts' own
// projects.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/bitnet.hpp>
#include <edgerazor/io/compressed_tensors.hpp>
#include <edgerazor/io/edgerazor_linear.hpp>
#include <edgerazor/io/gptq.hpp>
#include <edgerazor/io/safetensors_export.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;
using er::safetensors_dtype;

namespace {

std::vector<float> random_weights(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> weights(count);
  for (float& w : weights) w = normal(random);
  return weights;
}

er::any_matrix pack(const char* format, std::size_t rows, std::size_t cols) {
  const std::vector<float> weights = random_weights(rows * cols, 12);
  return er::any_matrix::pack(*er::matrix_format::parse(format),
                              er::matrix_view<const float>{weights.data(), rows, cols});
}

std::vector<float> dequantized(const er::any_matrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.cols());
  er::detail::io::level_rows rows(matrix);
  for (std::size_t r = 0; r < matrix.rows(); ++r)
    rows.read_values(r, std::span{values}.subspan(r * matrix.cols(), matrix.cols()));
  return values;
}

/// What `add` writes, open.
er::safetensors_reader written(const temporary_folder& folder,
                               const std::function<void(er::safetensors_writer&)>& add) {
  er::safetensors_writer writer;
  add(writer);
  writer.write(folder / "x.safetensors");
  return er::safetensors_reader::open(folder / "x.safetensors");
}
std::vector<float> floats(const er::safetensors_tensor& tensor) {
  std::vector<float> values(tensor.elements());
  er::decode_floats(tensor, 0, values);
  return values;
}
template <class T>
std::vector<T> integers(const er::safetensors_tensor& tensor) {
  std::vector<T> values(tensor.elements());
  er::read_integers(tensor, 0, std::span{values});
  return values;
}
std::string refusal(const std::function<void(er::safetensors_writer&)>& add) {
  er::safetensors_writer writer;
  try {
    add(writer);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_SUITE_BEGIN("io/safetensors_export");

TEST_CASE("compressed-tensors: (code - 8) * scale") {
  struct example {
    const char* format;
    std::size_t rows, cols, group;
    safetensors_dtype scales;
  };
  for (const example& e : {example{"int4_g32", 20, 96, 32, safetensors_dtype::f16},
                           example{"int4_g96_bf16", 5, 192, 32, safetensors_dtype::bf16},
                           example{"int4_row", 7, 100, 0, safetensors_dtype::f16},
                           example{"ternary2_g64_bf16", 4, 64, 32, safetensors_dtype::bf16},
                           example{"int4_row_bf16", 6, 64, 32, safetensors_dtype::bf16}}) {
    CAPTURE(std::string{e.format});
    const er::any_matrix matrix = pack(e.format, e.rows, e.cols);
    const temporary_folder folder;
    const er::safetensors_reader file = written(folder, [&](er::safetensors_writer& writer) {
      er::add_compressed_tensors(writer, "w", matrix, e.group, e.scales);
    });
    CHECK(integers<std::int64_t>(file.get("w.weight_shape")) ==
          std::vector<std::int64_t>{static_cast<std::int64_t>(e.rows),
                                    static_cast<std::int64_t>(e.cols)});
    const std::vector<std::uint32_t> words = integers<std::uint32_t>(file.get("w.weight_packed"));
    const std::vector<float> scales = floats(file.get("w.weight_scale"));
    const std::size_t groups = scales.size() / e.rows, width = words.size() / e.rows;
    CHECK(width == (e.cols + 7) / 8);
    CHECK(groups == (e.group == 0 ? 1 : e.cols / e.group));
    std::vector<float> values;
    for (std::size_t r = 0; r < e.rows; ++r) {
      for (std::size_t c = 0; c < e.cols; ++c) {
        const int code = static_cast<int>(words[r * width + c / 8] >> (c % 8 * 4) & 15u);
        values.push_back(static_cast<float>(code - 8) * scales[r * groups + c / (e.cols / groups)]);
      }
    }
    CHECK(values == dequantized(matrix));
  }
}

TEST_CASE("GPTQ: (code - (zero + 1)) * scale, transposed") {
  for (const char* const format : {"int4_g64", "int4_row", "ternary2_g32"}) {
    CAPTURE(std::string{format});
    constexpr std::size_t rows = 24, cols = 128;
    const er::any_matrix matrix = pack(format, rows, cols);
    const temporary_folder folder;
    const er::safetensors_reader file = written(
        folder, [&](er::safetensors_writer& writer) { er::add_gptq(writer, "w", matrix, 32); });
    const auto words = integers<std::uint32_t>(file.get("w.qweight"));
    const auto zeros = integers<std::uint32_t>(file.get("w.qzeros"));
    const auto index = integers<std::uint32_t>(file.get("w.g_idx"));
    const std::vector<float> scales = floats(file.get("w.scales"));
    CHECK(file.get("w.qweight").shape == std::vector<std::uint64_t>{cols / 8, rows});
    CHECK(file.get("w.qzeros").shape == std::vector<std::uint64_t>{cols / 32, rows / 8});
    std::vector<float> values;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c) {
        const int code = static_cast<int>(words[c / 8 * rows + r] >> (c % 8 * 4) & 15u);
        const int zero =
            static_cast<int>(zeros[index[c] * rows / 8 + r / 8] >> (r % 8 * 4) & 15u) + 1;
        values.push_back(static_cast<float>(code - zero) * scales[index[c] * rows + r]);
      }
    }
    CHECK(values == dequantized(matrix));
  }
}

TEST_CASE("BitNet: (code - 1) * scale, a quarter of the rows in each pair of bits") {
  constexpr std::size_t rows = 12, cols = 40;
  std::vector<float> weights(rows * cols);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = 0.375f * static_cast<float>(static_cast<int>(i * 7 % 11 % 3) - 1);
  er::any_matrix matrix =
      er::any_matrix::empty(*er::matrix_format::parse("ternary2_row_bf16"), rows, cols);
  matrix.pack_rows(0, er::matrix_view<const float>{weights.data(), rows, cols});
  // A row's scale is twice its mean magnitude: make them one by hand.
  const er::packed_view view = *matrix.packed();
  std::vector<std::byte> bytes(view.bytes().begin(), view.bytes().end());
  const er::bfloat16 scale{0.375f};
  for (std::size_t r = 0; r < rows; ++r)
    std::memcpy(bytes.data() + view.layout().scale_offset(r, 0), &scale, sizeof scale);
  const er::any_matrix one = er::any_matrix::from_bytes(matrix.fmt(), rows, cols, bytes);
  const temporary_folder folder;
  const er::safetensors_reader file =
      written(folder, [&](er::safetensors_writer& writer) { er::add_bitnet(writer, "w", one); });
  const auto packed = integers<std::uint8_t>(file.get("w.weight"));
  const std::vector<float> stored = floats(file.get("w.weight_scale"));
  CHECK(stored == std::vector<float>{0.375f});
  CHECK(file.get("w.weight").shape == std::vector<std::uint64_t>{rows / 4, cols});
  std::vector<float> values;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const int code = packed[r % (rows / 4) * cols + c] >> (2 * (r / (rows / 4))) & 3;
      values.push_back(static_cast<float>(code - 1) * stored[0]);
    }
  }
  CHECK(values == dequantized(one));
  CHECK(dequantized(er::bitnet_linear("w", file.get("w.weight"), file.get("w.weight_scale"),
                                      er::bitnet_class::autobitlinear, rows)
                        .import_matrix()) == values);
  CHECK(refusal([&](er::safetensors_writer& writer) {
          er::add_bitnet(writer, "w", pack("ternary2_row_bf16", 12, 40));
        }).find("the layout has one for the matrix") != std::string::npos);
  CHECK(refusal([&](er::safetensors_writer& writer) {
          er::add_bitnet(writer, "w", pack("ternary2_row_bf16", 10, 40));
        }).find("rows must be a multiple of 4") != std::string::npos);
  CHECK(refusal([&](er::safetensors_writer& writer) {
          er::add_bitnet(writer, "w", pack("int4_row_bf16", 12, 40));
        }).find("the layout holds -1 to 1") != std::string::npos);
}

TEST_CASE("EdgeRazor (Python): BF16 of level * scale") {
  for (const char* const format :
       {"ternary2_g64_bf16", "int4_g64_bf16", "int4_g64_bf16+ternary2_g64_bf16:every_8_rows"}) {
    CAPTURE(std::string{format});
    const er::any_matrix matrix = pack(format, 16, 128);
    const temporary_folder folder;
    const er::safetensors_reader file = written(
        folder, [&](er::safetensors_writer& writer) { er::add_edgerazor(writer, "w", matrix); });
    std::vector<float> expected = dequantized(matrix);
    for (float& value : expected) value = er::bfloat16{value};
    CHECK(floats(file.get("w.weight")) == expected);
  }
  CHECK(refusal([&](er::safetensors_writer& writer) {
          er::add_edgerazor(writer, "w", pack("ternary2_g64", 16, 128));
        }).find("is no finite BF16") != std::string::npos);
}

TEST_CASE("EdgeRazor (Python): groups without a level that rounding leaves alone") {
  const auto group_of = [](std::int8_t largest, float scale) {
    std::vector<std::int8_t> levels(64, 3);
    for (std::size_t i = 0; i < levels.size(); i += 3) levels[i] = -5;
    levels[11] = largest;
    return er::pack_levels(er::format{er::code_type::int4, 64, er::scale_kind::bfloat16},
                           er::matrix_view<const std::int8_t>{levels.data(), 1, 64},
                           er::matrix_view<const float>{&scale, 1, 1});
  };
  std::size_t exact = 0;
  for (std::uint16_t bits = 0x3d00; bits < 0x3d80; ++bits) {  // every mantissa
    const er::any_matrix matrix = group_of(7, er::bfloat16::from_bits(bits));
    const temporary_folder folder;
    std::string refused;
    try {
      const er::safetensors_reader file = written(
          folder, [&](er::safetensors_writer& writer) { er::add_edgerazor(writer, "w", matrix); });
      const auto back = er::edgerazor_fake_quantized_linear("w", file.get("w.weight"), 64);
      REQUIRE(back);
      CHECK(dequantized(back->import_matrix()) == dequantized(matrix));
      ++exact;
    } catch (const std::invalid_argument& error) {
      refused = error.what();
    }
    const bool clear = refused.empty() || refused.find("can't be read back") != std::string::npos;
    CHECK(clear);
  }
  CHECK(exact >= 100);
  CHECK(refusal([&](er::safetensors_writer& writer) {
          er::add_edgerazor(writer, "w", group_of(6, 0.03125f));
        }).find("its largest level is not 7") != std::string::npos);
}

TEST_CASE("plain numbers, of packed and of dense matrices") {
  for (const char* const format : {"int4_g32", "bf16", "f32"}) {
    CAPTURE(std::string{format});
    const er::any_matrix matrix = pack(format, 3, 64);
    const temporary_folder folder;
    const er::safetensors_reader file = written(folder, [&](er::safetensors_writer& writer) {
      er::add_reals(writer, "a", matrix, safetensors_dtype::f32);
      er::add_reals(writer, "b", matrix, safetensors_dtype::bf16);
      er::add_reals(writer, "c", matrix, safetensors_dtype::f16);
    });
    const std::vector<float> exact = floats(file.get("a")), brain = floats(file.get("b")),
                             half = floats(file.get("c"));
    if (!matrix.is_dense()) CHECK(exact == dequantized(matrix));
    for (std::size_t i = 0; i < exact.size(); ++i) {
      CHECK(brain[i] == static_cast<float>(er::bfloat16{exact[i]}));
      CHECK(half[i] == static_cast<float>(er::float16{exact[i]}));
    }
  }
}

TEST_CASE("our own importers copy back what was written") {
  const auto check_same = [](const er::any_matrix& matrix, const er::packed_linear& linear) {
    REQUIRE(linear.exact_format().has_value());
    CHECK(dequantized(linear.import_matrix()) == dequantized(matrix));
  };
  const er::any_matrix int4 = pack("int4_g64", 32, 128), brain = pack("int4_g64_bf16", 32, 128),
                       ternary = pack("ternary2_g64_bf16", 32, 128),
                       mixed = pack("int4_g64_bf16+ternary2_g64_bf16:every_8_rows", 32, 128);
  const temporary_folder folder;
  const er::safetensors_reader file = written(folder, [&](er::safetensors_writer& writer) {
    er::add_compressed_tensors(writer, "c", brain, 32, safetensors_dtype::bf16);
    er::add_gptq(writer, "g", int4, 32);
    er::add_edgerazor(writer, "e", brain);
    er::add_edgerazor(writer, "t", ternary);
    er::add_edgerazor(writer, "m", mixed);
  });
  check_same(brain, er::compressed_tensors_linear(
                        "c",
                        {&file.get("c.weight_packed"), &file.get("c.weight_scale"), nullptr,
                         &file.get("c.weight_shape"), nullptr},
                        4, 32));
  check_same(int4,
             er::gptq_linear("g", file.get("g.qweight"), file.get("g.qzeros"), file.get("g.scales"),
                             file.find("g.g_idx"), {4, er::gptq_version::v1, true, 32, 32, 128}));
  check_same(brain, er::edgerazor_fake_quantized_linear("e", file.get("e.weight"), 64).value());
  check_same(ternary, er::edgerazor_fake_quantized_linear("t", file.get("t.weight"), 64).value());
  check_same(mixed, er::edgerazor_fake_quantized_linear("m", file.get("m.weight"), 64).value());
}

TEST_CASE("what a layout can't hold is refused before anything is written") {
  const er::any_matrix int4 = pack("int4_g64", 16, 128), int8 = pack("int8_g64", 16, 128),
                       wide = pack("int4_g64_f32", 16, 128), dense = pack("bf16", 16, 128);
  const auto compressed = [](const er::any_matrix& matrix, std::size_t group) {
    return refusal([&](er::safetensors_writer& writer) {
      er::add_compressed_tensors(writer, "w", matrix, group, safetensors_dtype::f16);
    });
  };
  CHECK(compressed(int4, 64) == "");
  CHECK(compressed(int4, 0) ==
        "layer 'w' (int4_g64, 16 x 128) can't become compressed-tensors pack-quantized: its "
        "groups of 64 columns are no multiple of 128");
  CHECK(compressed(int4, 48).find("its 128 columns are no multiple of groups of 48") !=
        std::string::npos);
  CHECK(compressed(int8, 64).find("the layout holds -8 to 7") != std::string::npos);
  CHECK(compressed(wide, 64).find("is no finite F16") != std::string::npos);
  CHECK(compressed(dense, 64).find("it is not quantized") != std::string::npos);
  CHECK(refusal([&](er::safetensors_writer& writer) {
          er::add_gptq(writer, "w", pack("int4_g64", 12, 128), 64);
        }) ==
        "layer 'w' (int4_g64, 12 x 128) can't become GPTQ: rows and columns must be "
        "multiples of 8");
  CHECK(refusal([&](er::safetensors_writer& writer) {
          er::add_edgerazor(writer, "w", pack("int8_g64_bf16", 16, 128));
        }).find("the layout holds -7 to 7") != std::string::npos);
}

TEST_CASE("edgerazor: groups that run out before the row does are refused") {
  std::vector<float> weights(8 * 96);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = static_cast<float>(static_cast<int>(i * 7 % 15) - 7) *
                 static_cast<float>(1 + (i / 96 * 2 + i % 96 / 64) % 5);
  const er::any_matrix matrix =
      er::any_matrix::pack(*er::matrix_format::parse("int4_g64_bf16"),
                           er::matrix_view<const float>{weights.data(), 8, 96});
  er::safetensors_writer writer;
  CHECK_THROWS_AS(er::add_edgerazor(writer, "w", matrix), std::invalid_argument);
}

TEST_SUITE_END();
