// SPDX-License-Identifier: Apache-2.0
// What the writer wrote, our reader and (tests/python/check_gguf.py) the `gguf` package read alike.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_writer.hpp>

namespace er = edgerazor;

namespace {

const std::filesystem::path package_file =
    std::filesystem::path{EDGERAZOR_TEST_DATA} / "gguf_package.gguf";

std::vector<std::byte> numbered(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 37 + 1);
  return bytes;
}

bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

}  // namespace

TEST_SUITE_BEGIN("io/gguf_writer");

TEST_CASE("metadata comes back as it was set, and the last value of a key counts") {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.set_u8("u8", 255);
  writer.set_i8("i8", -128);
  writer.set_u16("u16", 65535);
  writer.set_i16("i16", -32768);
  writer.set_u32("u32", 4294967295u);
  writer.set_i32("i32", INT32_MIN);
  writer.set_u64("u64", UINT64_MAX);
  writer.set_i64("i64", INT64_MIN);
  writer.set_f32("f32", 0.1f);
  writer.set_f64("f64", 0.1);
  writer.set_bool("bool", true);
  writer.set_string("string", "first");
  writer.set_u32("string", 7);
  writer.set_string("string", std::string_view{"a\0\xff", 3});
  const std::array<std::string_view, 3> texts{"x", "", "zz"};
  writer.set_strings("strings", texts);
  const std::array<std::int32_t, 3> integers{1, -2, 3};
  writer.set_array<std::int32_t>("integers", integers);
  writer.set_array<float>("none", {});
  writer.append<bool>("bools", true);
  writer.append<bool>("bools", false);
  writer.append_string("strings", "four");
  CHECK_THROWS_AS(writer.append_string("integers", "no"), std::invalid_argument);
  CHECK_THROWS_AS(writer.append<float>("f32", 1.0f), std::invalid_argument);
  for (const std::string_view bad :
       {std::string_view{}, std::string_view{"a\0b", 3}, std::string_view{"\xff"}}) {
    CHECK_THROWS_AS(writer.set_u8(bad, 1), std::invalid_argument);
  }
  writer.write(folder / "file.gguf");

  const er::gguf_reader reader = er::gguf_reader::open(folder / "file.gguf");
  CHECK(reader.version() == 3);
  const auto type = [&](const char* key) { return reader.find_entry(key)->type; };
  CHECK((type("u8") == er::gguf_type::u8 && reader.get_u32("u8") == 255));
  CHECK((type("i8") == er::gguf_type::i8 && reader.get_i32("i8") == -128));
  CHECK((type("u16") == er::gguf_type::u16 && reader.get_u32("u16") == 65535));
  CHECK((type("i16") == er::gguf_type::i16 && reader.get_i32("i16") == -32768));
  CHECK((type("u32") == er::gguf_type::u32 && reader.get_u32("u32") == 4294967295u));
  CHECK((type("i32") == er::gguf_type::i32 && reader.get_i32("i32") == INT32_MIN));
  CHECK((type("u64") == er::gguf_type::u64 && reader.get_u64("u64") == UINT64_MAX));
  CHECK((type("i64") == er::gguf_type::i64 && reader.get_i64("i64") == INT64_MIN));
  CHECK((type("f32") == er::gguf_type::f32 && reader.get_f32("f32") == 0.1f));
  CHECK((type("f64") == er::gguf_type::f64 && reader.get_f64("f64") == 0.1));
  CHECK((type("bool") == er::gguf_type::boolean && reader.get_bool("bool")));
  CHECK(reader.get_string("string") == std::string_view{"a\0\xff", 3});
  CHECK(reader.get_strings("strings") == std::vector<std::string_view>{"x", "", "zz", "four"});
  CHECK(reader.get_i32s("integers") == std::vector<std::int32_t>{1, -2, 3});
  CHECK(reader.get_f32s("none").empty());
  CHECK(reader.get_bools("bools") == std::vector<bool>{true, false});
}

TEST_CASE("copied metadata: everything but what is set already, excepted, or about the bytes") {
  const temporary_folder folder;
  const er::gguf_reader source = er::gguf_reader::open(package_file);
  er::gguf_writer first;
  first.set_u32("edgerazor.layout_version", 1);
  first.append_string("edgerazor.tensor.names", "w");
  first.set_string("general.architecture", "mine");
  first.require_alignment(128);
  const std::array<std::string_view, 2> except{"value.u8", "array.string"};
  first.copy_metadata(source, except);
  first.set_u32("value.i8", 5);
  first.write(folder / "first.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "first.gguf");
  CHECK(reader.get_string("general.architecture") == "mine");
  CHECK_FALSE(reader.has("value.u8"));
  CHECK_FALSE(reader.has("array.string"));
  CHECK(reader.get_u32("value.i8") == 5);
  CHECK(reader.alignment() == 128);
  for (const er::metadata_entry& entry : source.entries()) {
    const er::metadata_entry* const copy = reader.find_entry(entry.key);
    if (copy == nullptr || entry.key == "general.architecture" || entry.key == "value.i8") continue;
    CAPTURE(entry.key);
    CHECK(
        (copy->type == entry.type && copy->element == entry.element && copy->count == entry.count));
    CHECK(same(copy->value, entry.value));
  }
  CHECK(reader.entries().size() == source.entries().size() - 2 + 3);

  er::gguf_writer second;
  second.copy_metadata(reader);
  second.write(folder / "second.gguf");
  const er::gguf_reader again = er::gguf_reader::open(folder / "second.gguf");
  CHECK(again.alignment() == 32);
  CHECK_FALSE(again.has("edgerazor.layout_version"));
  CHECK_FALSE(again.has("edgerazor.tensor.names"));
}

TEST_CASE("tensors of every size begin aligned and come back whole, from memory and from sources") {
  const temporary_folder folder;
  for (const std::size_t alignment : {std::size_t{1}, std::size_t{64}, std::size_t{4096}}) {
    er::gguf_writer writer;
    writer.set_string("general.architecture", "test");
    writer.require_alignment(alignment);
    std::vector<std::vector<std::byte>> contents;
    for (std::size_t size = 0; size < 70; ++size) contents.push_back(numbered(size));
    for (const std::vector<std::byte>& bytes : contents) {
      const std::string name = "t" + std::to_string(bytes.size());
      if (bytes.size() % 2 == 0) {
        writer.add_tensor(name, er::ggml_type::i8, {bytes.size()}, bytes);
      } else {
        writer.add_tensor(name, er::ggml_type::i8, {bytes.size()}, [&bytes](er::tensor_sink& sink) {
          for (const std::byte& b : bytes) sink.write({&b, 1});
        });
      }
    }
    writer.write(folder / "file.gguf");
    const er::gguf_reader reader = er::gguf_reader::open(folder / "file.gguf");
    CHECK(reader.alignment() == std::max<std::size_t>(alignment, 32));
    CHECK(std::filesystem::file_size(folder / "file.gguf") % reader.alignment() == 0);
    const std::byte* const file = reader.tensors()[0].bytes.data();
    for (std::size_t size = 0; size < 70; ++size) {
      const er::tensor_info& tensor = reader.tensors()[size];
      CHECK(same(tensor.bytes, contents[size]));
      CHECK(static_cast<std::size_t>(tensor.bytes.data() - file) % reader.alignment() == 0);
    }
  }
}

TEST_CASE("a file copied through reader and writer keeps its tensors") {
  const temporary_folder folder;
  const er::gguf_reader source = er::gguf_reader::open(package_file);
  er::gguf_writer writer;
  writer.copy_metadata(source);
  for (const er::tensor_info& tensor : source.tensors()) writer.copy_tensor(tensor);
  writer.write(folder / "copy.gguf");
  const er::gguf_reader copy = er::gguf_reader::open(folder / "copy.gguf");
  CHECK(copy.get_u32("general.quantization_version") ==
        2);  // it holds quantized types, so GGUF requires the key
  REQUIRE(copy.tensors().size() == source.tensors().size());
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const er::tensor_info &a = source.tensors()[i], &b = copy.tensors()[i];
    CHECK(a.name == b.name);
    CHECK(a.type == b.type);
    CHECK(a.dims == b.dims);
    CHECK(same(a.bytes, b.bytes));
  }
}

TEST_CASE(
    "a tensor with a zero dimension is empty among whatever other dimensions, in writer and "
    "reader") {
  const temporary_folder folder;
  const std::size_t huge = std::size_t{1} << 63;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.add_tensor("a", er::ggml_type::q4_0, {huge, huge, 0, huge}, std::span<const std::byte>{});
  writer.add_tensor("b", er::ggml_type::f32, {0}, std::span<const std::byte>{});
  writer.write(folder / "file.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "file.gguf");
  CHECK(reader.get("a").rows() == 0);
  CHECK(reader.get("a").dims == std::array<std::size_t, 4>{huge, huge, 0, huge});
  reader.read_rows(reader.get("a"), {0, 0}, {nullptr, 0, huge});
  CHECK(reader.get("b").rows() == 0);
}

TEST_CASE("a tensor that can't be is refused when it is added") {
  er::gguf_writer writer;
  const std::vector<std::byte> bytes(18);
  const auto add = [&](std::string_view name, er::ggml_type type,
                       std::initializer_list<std::size_t> dims) {
    writer.add_tensor(name, type, dims, bytes);
  };
  add("a", er::ggml_type::q4_0, {32});
  CHECK_THROWS_WITH_AS(add("a", er::ggml_type::q4_0, {32}),
                       doctest::Contains("'a' is there already"), std::invalid_argument);
  CHECK_THROWS_WITH_AS(add("b", er::ggml_type::q4_0, {33}), doctest::Contains("no multiple of 32"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(add("b", er::ggml_type::q4_0, {32, 2}),
                       doctest::Contains("expected 36 bytes, got 18"), std::invalid_argument);
  add("b", er::ggml_type::q4_0, {32, 1});  // the name is free again
  CHECK_THROWS_AS(add("", er::ggml_type::i8, {18}), std::invalid_argument);
  CHECK_THROWS_AS(add(std::string(64, 'n'), er::ggml_type::i8, {18}), std::invalid_argument);
  CHECK_THROWS_AS(add("\xff", er::ggml_type::i8, {18}), std::invalid_argument);
  CHECK_THROWS_AS(add("c", er::ggml_type::i8, {}), std::invalid_argument);
  CHECK_THROWS_AS(add("c", er::ggml_type::i8, {1, 1, 1, 1, 18}), std::invalid_argument);
  CHECK_THROWS_WITH_AS(add("c", er::ggml_type::f32, {std::size_t{1} << 32, std::size_t{1} << 32}),
                       doctest::Contains("overflows"), std::invalid_argument);
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{48}, std::size_t{1} << 21}) {
    CHECK_THROWS_AS(writer.require_alignment(alignment), std::invalid_argument);
  }
}

TEST_CASE("an error leaves the old file and nothing else") {
  const temporary_folder folder;
  const std::vector<std::byte> old = numbered(1000);
  write_bytes(folder / "model.gguf", old);
  const auto check_untouched = [&] {
    CHECK(same(read_bytes(folder / "model.gguf"), old));
    CHECK(folder.files() == 1);
  };

  er::gguf_writer nameless;
  CHECK_THROWS_WITH_AS(nameless.write(folder / "model.gguf"),
                       doctest::Contains("general.architecture"), std::invalid_argument);
  check_untouched();

  // The source gives up, gives too little, gives too much.
  const std::vector<std::byte> half = numbered(500);
  const er::tensor_source sources[] = {[](er::tensor_sink&) { throw std::runtime_error("source"); },
                                       [&](er::tensor_sink& sink) { sink.write(half); },
                                       [&](er::tensor_sink& sink) {
                                         sink.write(half);
                                         sink.write(half);
                                         sink.write(half);
                                       }};
  for (const er::tensor_source& source : sources) {
    er::gguf_writer writer;
    writer.set_string("general.architecture", "test");
    writer.add_tensor("a", er::ggml_type::i8, {1000}, source);
    CHECK_THROWS(writer.write(folder / "model.gguf"));
    check_untouched();
  }
  CHECK_THROWS_AS(
      [&] {
        er::gguf_writer writer;
        writer.set_string("general.architecture", "test");
        writer.write(folder / "missing" / "model.gguf");
      }(),
      er::io_error);
  CHECK_THROWS_AS(
      [&] {
        er::gguf_writer writer;
        writer.set_string("general.architecture", "test");
        writer.write(folder.path);  // a folder can't be replaced by a file
      }(),
      er::io_error);
  check_untouched();
}

TEST_CASE("metadata at the edges comes back: empty, NUL, no UTF-8, extremes, NaN") {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.set_string("empty", "");
  writer.set_string("nul", std::string_view("a\0b", 3));
  writer.set_string("latin1", "caf\xe9");
  writer.set_array<float>("no_floats", std::span<const float>{});
  writer.set_strings("no_strings", std::span<const std::string_view>{});
  const std::string_view strings[] = {"", "\xf0\x9f\x98\x80", "b"};
  writer.set_strings("strings", strings);
  writer.set_i64("least", std::numeric_limits<std::int64_t>::min());
  writer.set_u64("most", std::numeric_limits<std::uint64_t>::max());
  writer.set_f64("nan", std::numeric_limits<double>::quiet_NaN());
  writer.set_f32("infinite", -std::numeric_limits<float>::infinity());
  writer.set_u32("general.alignment", 7);  // the writer's own to say
  std::vector<float> values(24);
  for (std::size_t i = 0; i < 24; ++i) values[i] = static_cast<float>(i);
  writer.add_tensor("four", er::ggml_type::f32, {4, 3, 2, 1}, std::as_bytes(std::span{values}));
  writer.write(folder / "edges.gguf");

  const er::gguf_reader reader = er::gguf_reader::open(folder / "edges.gguf");
  CHECK(reader.get_string("empty").empty());
  CHECK(reader.get_string("nul") == std::string_view("a\0b", 3));
  CHECK(reader.get_string("latin1") == "caf\xe9");
  CHECK(reader.get_f32s("no_floats").empty());
  CHECK(reader.get_strings("no_strings").empty());
  CHECK(reader.get_strings("strings") ==
        std::vector<std::string_view>{strings[0], strings[1], strings[2]});
  CHECK(reader.get_i64("least") == std::numeric_limits<std::int64_t>::min());
  CHECK(reader.get_u64("most") == std::numeric_limits<std::uint64_t>::max());
  CHECK(std::isnan(reader.get_f64("nan")));
  CHECK(reader.get_f32("infinite") == -std::numeric_limits<float>::infinity());
  CHECK(reader.alignment() == 32);
  CHECK(reader.get("four").rows() == 6);
}

TEST_SUITE_END();
