// SPDX-License-Identifier: Apache-2.0
// Metadata values as C++ values: what is taken for what.
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_value.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace er = edgerazor;

namespace {

const std::filesystem::path package_file =
    std::filesystem::path{EDGERAZOR_TEST_DATA} / "gguf_package.gguf";

}  // namespace

TEST_SUITE_BEGIN("io/gguf_value");

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

TEST_CASE("a number of 64 bits that is none of 32 is refused") {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.set_f64("big", 1e300);
  writer.set_f64("infinite", std::numeric_limits<double>::infinity());
  writer.write(folder / "a.gguf");
  const auto reader = er::gguf_reader::open(folder / "a.gguf");
  CHECK_THROWS_WITH_AS((void)reader.get_f32("big"), doctest::Contains("does not fit f32"),
                       er::io_error);
  CHECK(reader.get_f32("infinite") == std::numeric_limits<float>::infinity());
}

TEST_SUITE_END();
