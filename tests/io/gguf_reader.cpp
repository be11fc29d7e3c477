// tests/data/gguf_package.gguf was written by the `gguf` Python package
// (tests/python/make_gguf_data.py).
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_reader.hpp>

namespace er = edgerazor;

namespace {

const std::filesystem::path package_file =
    std::filesystem::path{EDGERAZOR_TEST_DATA} / "gguf_package.gguf";

std::vector<float> decode(const er::gguf_reader& reader, const er::tensor_info& tensor) {
  std::vector<float> values(tensor.rows() * tensor.cols());
  reader.read_rows(tensor, {0, tensor.rows()}, {values.data(), tensor.rows(), tensor.cols()});
  return values;
}

}  // namespace

TEST_CASE("metadata of every type, as another program wrote it") {
  const er::gguf_reader reader = er::gguf_reader::open(package_file);
  CHECK(reader.version() == 3);
  CHECK(reader.alignment() == 32);
  CHECK(reader.get_string("general.architecture") == "test");
  CHECK(reader.get_u32("value.u8") == 200);
  CHECK(reader.get_i32("value.i8") == -100);
  CHECK(reader.get_u32("value.u16") == 60000);
  CHECK(reader.get_i64("value.i16") == -30000);
  CHECK(reader.get_u32("value.u32") == 4000000000u);
  CHECK(reader.get_i32("value.i32") == -2000000000);
  CHECK(reader.get_u64("value.u64") == (std::uint64_t{1} << 63) + 1);
  CHECK(reader.get_i64("value.i64") == -(std::int64_t{1} << 62));
  CHECK(reader.get_f32("value.f32") == 0.1f);
  CHECK(reader.get_f64("value.f64") == 0.1);
  CHECK(reader.get_bool("value.true"));
  CHECK_FALSE(reader.get_bool("value.false"));
  CHECK(reader.get_string("value.string") ==
        "Gr\xc3\xbc\xc3\x9f"
        "e");
  CHECK(reader.get_strings("array.string") == std::vector<std::string_view>{"a", "", "ccc"});
  CHECK(reader.get_i32s("array.i32") == std::vector<std::int32_t>{1, -2, 3});
  CHECK(reader.get_f32s("array.f32") == std::vector<float>{0.5f, -0.25f});
  CHECK(reader.get_bools("array.bool") == std::vector<bool>{true, false, true});
  CHECK(reader.get_u64s("array.u64") == std::vector<std::uint64_t>{1, std::uint64_t{1} << 40});
}

TEST_CASE(
    "integers are taken at any width where they fit, and nothing else is taken for another type") {
  const er::gguf_reader reader = er::gguf_reader::open(package_file);
  CHECK(reader.get_u64("value.u8") == 200);
  CHECK(reader.get_i32("value.u16") == 60000);
  CHECK_THROWS_WITH_AS((void)reader.get_u32("value.i8"), "key 'value.i8': -100 does not fit u32",
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_i32("value.u32"),
                       "key 'value.u32': 4000000000 does not fit i32", er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_i64("value.u64"), doctest::Contains("does not fit i64"),
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_u32s("array.i32"), "key 'array.i32': -2 does not fit u32",
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_u32("value.f32"),
                       "key 'value.f32': expected u32, the file has f32", er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_f32("value.u8"), doctest::Contains("expected f32"),
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_bool("value.u8"), doctest::Contains("expected bool"),
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_u32("value.true"), doctest::Contains("expected u32"),
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_string("value.u8"), doctest::Contains("expected string"),
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_i32("array.i32"),
                       doctest::Contains("the file has array of i32"), er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_i32s("value.i32"),
                       doctest::Contains("expected array of i32"), er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_strings("array.i32"),
                       doctest::Contains("expected array of string"), er::io_error);
  CHECK_THROWS_WITH_AS((void)reader.get_i32s("array.string"),
                       doctest::Contains("expected array of i32"), er::io_error);
}

TEST_CASE("a missing key is an error for get_ and nothing for optional_") {
  const er::gguf_reader reader = er::gguf_reader::open(package_file);
  CHECK_THROWS_WITH_AS((void)reader.get_u32("none"), "the file has no key 'none'", er::io_error);
  CHECK_FALSE(reader.has("none"));
  CHECK_FALSE(reader.optional_u32("none"));
  CHECK_FALSE(reader.optional_string("none"));
  CHECK(reader.optional_u32("value.u8") == 200);
  CHECK(reader.optional_f32("value.f32") == 0.1f);
  CHECK(reader.optional_bool("value.false") == false);
  CHECK(reader.optional_string("general.architecture") == "test");
  CHECK_THROWS_AS((void)reader.optional_u32("value.f32"), er::io_error);
}

TEST_CASE("every decoded type gives the very floats that the gguf package gives") {
  const er::gguf_reader reader = er::gguf_reader::open(package_file);
  std::size_t compared = 0;
  for (const er::tensor_info& tensor : reader.tensors()) {
    const er::tensor_info* const decoded = reader.find(std::string{tensor.name} + ".decoded");
    if (decoded == nullptr) continue;
    CAPTURE(tensor.name);
    CHECK(er::info_of(tensor.type).name == tensor.name);
    const std::vector<float> ours = decode(reader, tensor), theirs = decode(reader, *decoded);
    REQUIRE(ours.size() == theirs.size());
    CHECK(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)) == 0);
    reader.validate(tensor);
    ++compared;
  }
  CHECK(compared == 9);  // all but F32
}

TEST_CASE("a range of rows, into an output with room behind its rows") {
  const er::gguf_reader reader = er::gguf_reader::open(package_file);
  const er::tensor_info& tensor = reader.get("Q6_K");
  REQUIRE(tensor.rows() == 2);
  const std::vector<float> all = decode(reader, tensor);
  const std::size_t stride = tensor.cols() + 5;
  std::vector<float> values(2 * stride, 77.0f);
  for (const er::row_range rows :
       {er::row_range{0, 1}, er::row_range{1, 2}, er::row_range{0, 2}, er::row_range{2, 2}}) {
    std::fill(values.begin(), values.end(), 77.0f);
    reader.read_rows(tensor, rows, {values.data(), rows.size(), tensor.cols(), stride});
    for (std::size_t r = 0; r < rows.size(); ++r) {
      CHECK(std::memcmp(&values[r * stride], &all[(rows.begin + r) * tensor.cols()],
                        tensor.cols() * 4) == 0);
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i / stride >= rows.size() || i % stride >= tensor.cols()) REQUIRE(values[i] == 77.0f);
    }
  }
  const auto read = [&](er::row_range rows, std::size_t out_rows, std::size_t out_cols) {
    reader.read_rows(tensor, rows, {values.data(), out_rows, out_cols, stride});
  };
  CHECK_THROWS_WITH_AS(read({0, 3}, 3, 512), doctest::Contains("tensor 'Q6_K' of 2 x 512"),
                       std::invalid_argument);
  CHECK_THROWS_AS(read({2, 1}, std::numeric_limits<std::size_t>::max(), 512),
                  std::invalid_argument);
  CHECK_THROWS_AS(read({0, 2}, 1, 512), std::invalid_argument);
  CHECK_THROWS_AS(read({0, 1}, 1, 511), std::invalid_argument);
}

TEST_CASE(
    "from memory at any address, from a mapping, from a copy: the same; a moved reader keeps its "
    "views") {
  const std::vector<std::byte> bytes = read_bytes(package_file);
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
  er::gguf_reader in_memory(std::span<const std::byte>{shifted}.subspan(1));
  const er::gguf_reader copied = er::gguf_reader::open(package_file, er::file_access::read);
  const std::string_view text = in_memory.get_string("value.string");
  const er::gguf_reader moved = std::move(in_memory);
  CHECK(moved.get_string("value.string").data() == text.data());
  for (const er::tensor_info& tensor : moved.tensors()) {
    moved.drop(tensor);
    const std::vector<float> a = decode(moved, tensor), b = decode(copied, copied.get(tensor.name));
    CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("every prefix of a good file is refused or, past its last tensor, whole") {
  const std::vector<std::byte> bytes = read_bytes(package_file);
  const er::gguf_reader whole{std::span<const std::byte>{bytes}};
  const er::tensor_info& last = whole.tensors().back();
  const std::size_t end =
      static_cast<std::size_t>(last.bytes.data() + last.bytes.size() - bytes.data());
  for (std::size_t size = 0; size < bytes.size(); size += size < 6000 ? 1 : 97) {
    std::string error;
    const bool accepted =
        er::gguf_reader::try_parse(std::span<const std::byte>{bytes}.first(size), error)
            .has_value();
    CHECK(accepted == (size >= end));
    CHECK(accepted == error.empty());
  }
}

TEST_CASE("a header may not exceed its budget, whatever the file's size") {
  // One string of 300 MiB, all of it a hole in the file: refused without reading it.
  const temporary_folder folder;
  const std::uint64_t length = std::uint64_t{300} << 20;
  std::vector<std::byte> bytes;
  const auto put = [&bytes](const auto& value) {
    const auto* const at = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), at, at + sizeof value);
  };
  for (const char c : {'G', 'G', 'U', 'F'}) put(c);
  put(std::uint32_t{3});
  put(std::uint64_t{0});
  put(std::uint64_t{1});
  put(std::uint64_t{1});
  put('k');
  put(er::gguf_type::string);
  put(length);
  write_bytes(folder / "large.gguf", bytes);
  std::filesystem::resize_file(folder / "large.gguf", bytes.size() + length);
  CHECK_THROWS_WITH_AS(
      (void)er::gguf_reader::open(folder / "large.gguf"),
      doctest::Contains("a string of key 'k' lies beyond the 256 MiB that a header may take"),
      er::io_error);
}

TEST_CASE("a file that can't be opened names its path") {
  const temporary_folder folder;
  CHECK_THROWS_WITH_AS((void)er::gguf_reader::open(folder / "none.gguf"),
                       doctest::Contains("none.gguf"), er::io_error);
  write_bytes(folder / "bad.gguf", {});
  CHECK_THROWS_WITH_AS((void)er::gguf_reader::open(folder / "bad.gguf"),
                       doctest::Contains("bad.gguf: the file does not"), er::io_error);
}

TEST_CASE("names are UTF-8 without NUL") {
  for (const char* good :
       {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(er::gguf::is_valid_name(good));
  }
  for (const char* bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2z", "\xe0\x9f\xbf",
                          "\xed\xa0\x80", "\xed\xbf\xbf", "\xef\xbf", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xf0\x90\x80"}) {
    CHECK_FALSE(er::gguf::is_valid_name(bad));
  }
  CHECK_FALSE(er::gguf::is_valid_name(std::string_view{"a\0b", 3}));
}
