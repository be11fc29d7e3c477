// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/io/safetensors_reader.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>

namespace er = edgerazor;
using er::safetensors_dtype;

namespace {

er::safetensors_reader golden(const char* name) {
  return er::safetensors_reader::open(std::filesystem::path{EDGERAZOR_TEST_DATA} / "safetensors" /
                                      name);
}

/// FNV-1a over the bits of all 256 values, every NaN as 7fc00000.
std::uint64_t hash(std::span<const float> values) {
  std::uint64_t result = 0xcbf29ce484222325u;
  for (const float value : values) {
    const std::uint32_t bits =
        std::isnan(value) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(value);
    result = (result ^ bits) * 0x100000001b3u;
  }
  return result;
}

er::safetensors_tensor tensor_of(safetensors_dtype dtype, std::vector<std::uint64_t> shape,
                                 std::span<const std::byte> bytes) {
  return {"some.weight", dtype, std::move(shape), bytes};
}

}  // namespace

TEST_SUITE_BEGIN("io/safetensors_tensor");

TEST_CASE("floats of every type, as ml_dtypes 0.6 decodes the same file") {
  const std::map<std::string, std::array<std::uint32_t, 8>> expected{
      {"t.F8_E5M2FNUZ",
       {0xb7000000u, 0x37000000u, 0xc0c00000u, 0xc7600000u, 0x42200000u, 0x3e400000u, 0xc4000000u,
        0x3d800000u}},
      {"t.F8_E4M3FNUZ",
       {0xbdd00000u, 0x41a00000u, 0x43300000u, 0x3c400000u, 0xbc800000u, 0xbf000000u, 0x3d000000u,
        0x3de00000u}},
      {"t.F8_E8M0",
       {0x5a800000u, 0x13800000u, 0x4b800000u, 0x05800000u, 0x5a000000u, 0x45000000u, 0x21000000u,
        0x00400000u}},
      {"t.F8_E4M3",
       {0x3f200000u, 0xbf300000u, 0xbd100000u, 0x42800000u, 0xc0e00000u, 0x3f500000u, 0xbcd00000u,
        0x3e100000u}},
      {"t.F8_E5M2",
       {0xb8a00000u, 0x46c00000u, 0x3c800000u, 0x44400000u, 0xc0800000u, 0x3c600000u, 0x3f200000u,
        0xba400000u}},
      {"t.BF16",
       {0xa1d00000u, 0x64740000u, 0x97530000u, 0xa0c60000u, 0xc1ad0000u, 0x7e360000u, 0x397e0000u,
        0xaa760000u}},
      {"t.F16",
       {0x3e642000u, 0xc4b9c000u, 0x42bb2000u, 0xc186a000u, 0xb8cf0000u, 0xc303e000u, 0x7fe1c000u,
        0x3bb40000u}},
      {"t.F32",
       {0x3a318bffu, 0x8b610985u, 0xe53c1887u, 0xe2496b34u, 0xdf4833c2u, 0x4e74bd4au, 0x04bd8b5cu,
        0xc7345db8u}},
  };
  const er::safetensors_reader reader = golden("dtypes.safetensors");
  for (const auto& entry : expected) {
    CAPTURE(entry.first);
    const er::safetensors_tensor& tensor = reader.get(entry.first);
    std::array<float, 8> values{};
    er::decode_floats(tensor, 0, values);
    for (std::size_t i = 0; i < values.size(); ++i)
      CHECK(std::bit_cast<std::uint32_t>(values[i]) == entry.second[i]);
    std::array<float, 3> part{};
    er::decode_floats(tensor, 4, part);
    CHECK(std::memcmp(part.data(), values.data() + 4, sizeof part) == 0);
  }
}

TEST_CASE("all 256 codes of 8-bit floats, against ml_dtypes 0.6") {
  std::array<std::byte, 256> codes;
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(i);
  const auto hash_of = [&](safetensors_dtype dtype) {
    std::array<float, 256> values{};
    er::decode_floats(tensor_of(dtype, {256}, codes), 0, values);
    return hash(values);
  };
  CHECK(hash_of(safetensors_dtype::f8_e5m2fnuz) == 0x39969815ceabb725u);
  CHECK(hash_of(safetensors_dtype::f8_e4m3fnuz) == 0x4065565af2abb725u);
  CHECK(hash_of(safetensors_dtype::f8_e8m0) == 0x56f9e0582b6bb725u);
  CHECK(hash_of(safetensors_dtype::f8_e4m3) == 0x8993af4628bb725u);
  CHECK(hash_of(safetensors_dtype::f8_e5m2) == 0xcee2838e6bb725u);
}

TEST_CASE("floats at an odd address") {
  const er::safetensors_reader reader = golden("unaligned.safetensors");
  const er::safetensors_tensor& tensor = reader.get("b");
  CHECK(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % 2 == 1);
  std::array<float, 2> values{}, copied{};
  std::memcpy(copied.data(), tensor.bytes.data(), sizeof copied);
  er::decode_floats(tensor, 0, values);
  CHECK(values == copied);
}

TEST_CASE("16-bit floats of several pieces, at an odd address") {
  std::vector<std::byte> bytes(1 + 2 * 2500);
  std::vector<float> expected(2500), values(2500);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const er::bfloat16 value{static_cast<float>(i) - 1000.0f};
    expected[i] = value;
    std::memcpy(bytes.data() + 1 + 2 * i, &value, sizeof value);
  }
  const std::span<const std::byte> odd = std::span{bytes}.subspan(1);
  er::decode_floats(tensor_of(safetensors_dtype::bf16, {50, 50}, odd), 0, values);
  CHECK(values == expected);
}

TEST_CASE("a double is rounded, and refused where a float can't hold it") {
  const auto decode = [](double value) {
    float out = 0;
    er::decode_floats(tensor_of(safetensors_dtype::f64, {}, std::as_bytes(std::span{&value, 1})), 0,
                      {&out, 1});
    return out;
  };
  CHECK(decode(0.1) == 0.1f);
  CHECK(decode(1e-300) == 0.0f);
  CHECK(decode(-std::numeric_limits<double>::infinity()) ==
        -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(decode(std::numeric_limits<double>::quiet_NaN())));
  CHECK_THROWS_WITH_AS((void)decode(-1e39),
                       "tensor 'some.weight': element 0 is "
                       "-999999999999999939709166371603178586112.000000, more than a float holds",
                       er::io_error);
}

TEST_CASE("integers are read bit for bit, of either sign") {
  const std::array<std::byte, 9> bytes{std::byte{0xaa}, std::byte{1},    std::byte{2},
                                       std::byte{3},    std::byte{0xff}, std::byte{0xfe},
                                       std::byte{0xff}, std::byte{0xff}, std::byte{0xff}};
  const er::safetensors_tensor words =
      tensor_of(safetensors_dtype::i32, {2}, std::span{bytes}.subspan(1));
  std::array<std::int32_t, 2> numbers{};
  er::read_integers(words, 0, std::span{numbers});
  CHECK(numbers[1] == -2);
  std::array<std::uint32_t, 1> word{};
  er::read_integers(words, 0, std::span{word});
  CHECK(word[0] == 0xff030201u);
  std::array<std::int64_t, 1> wide{};
  CHECK_THROWS_WITH_AS(er::read_integers(words, 0, std::span{wide}),
                       "tensor 'some.weight' has dtype I32, expected integers of 64 bits",
                       er::io_error);
  CHECK_THROWS_WITH_AS(er::read_integers(words, 1, std::span{numbers}),
                       "tensor 'some.weight' has 2 elements, asked for 2 from 1",
                       std::invalid_argument);
  float value = 0;
  CHECK_THROWS_WITH_AS(er::decode_floats(words, 0, {&value, 1}),
                       "tensor 'some.weight' has dtype I32, expected floats", er::io_error);
}

TEST_CASE("elements, rows and columns") {
  const std::vector<std::byte> bytes(12);
  CHECK(tensor_of(safetensors_dtype::f4, {4, 6}, bytes).elements() == 24);
  CHECK(tensor_of(safetensors_dtype::f6_e2m3, {4, 4}, bytes).elements() == 16);
  CHECK(tensor_of(safetensors_dtype::bf16, {2, 3}, bytes).elements() == 6);
  const er::safetensors_tensor matrix = tensor_of(safetensors_dtype::u16, {2, 3}, bytes);
  CHECK(matrix.rows() == 2);
  CHECK(matrix.cols() == 3);
  CHECK_THROWS_WITH_AS((void)tensor_of(safetensors_dtype::u16, {6}, bytes).rows(),
                       "tensor 'some.weight' has shape [6], expected a matrix", er::io_error);
}

TEST_SUITE_END();
