// SPDX-License-Identifier: Apache-2.0
// The fuzzer's seeds (tests/fuzz/make_gguf_corpus.py): valid files, and one for each way in which a
// file can lie. Each of the latter is refused, and for its own reason.
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_parse.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace er = edgerazor;

namespace {

/// File and what its sentence says. Files that begin with "valid-" have no entry.
const std::map<std::string_view, std::string_view> sentences{
    {"bad-no-bytes", "does not begin with GGUF"},
    {"bad-magic", "does not begin with GGUF"},
    {"bad-version-0", "GGUF version 0"},
    {"bad-version-1", "GGUF version 1"},
    {"bad-version-4", "GGUF version 4"},
    {"bad-big-endian", "is big-endian"},
    {"bad-truncated-version", "ends within the version"},
    {"bad-truncated-counts", "ends within the header"},

    {"bad-key-count-huge", "declares 18446744073709551615 keys, more than the 65536"},
    {"bad-key-count", "declares 4 keys, more than its size can hold"},
    {"bad-key-count-one-more", "ends within the name of key 1"},
    {"bad-tensor-count-huge", "declares 18446744073709551615 tensors, more than the 1048576"},
    {"bad-tensor-count", "declares 3 tensors, more than its size can hold"},
    {"bad-tensor-count-one-more", "ends within the name of tensor 0"},

    {"bad-key-length-huge", "ends within the name of key 1"},
    {"bad-key-length-wraps", "ends within the name of key 1"},
    {"bad-key-length", "ends within the name of key 1"},
    {"bad-key-empty", "key 1 has an empty name"},
    {"bad-key-too-long", "is longer than 65535 bytes"},
    {"bad-key-nul", "key 'a\\x00b' is not UTF-8 without NUL"},
    {"bad-key-utf8-continuation", "key 'a\\x80b' is not UTF-8 without NUL"},
    {"bad-key-utf8-overlong", "key 'a\\xc0\\xafb' is not UTF-8 without NUL"},
    {"bad-key-utf8-overlong-3", "key 'a\\xe0\\x80\\xafb' is not UTF-8 without NUL"},
    {"bad-key-utf8-surrogate", "key 'a\\xed\\xa0\\x80b' is not UTF-8 without NUL"},
    {"bad-key-utf8-too-large", "key 'a\\xf4\\x90\\x80\\x80b' is not UTF-8 without NUL"},
    {"bad-key-utf8-cut", "key 'a\\xe2\\x82' is not UTF-8 without NUL"},
    {"bad-key-duplicate", "key 'a' occurs twice"},
    {"bad-key-control-bytes", "key '\\x1b[2Jhidden' has the unknown value type 99"},

    {"bad-value-type", "key 'some.key' has the unknown value type 13"},
    {"bad-value-type-negative", "key 'some.key' has the unknown value type 4294967295"},
    {"bad-value-type-truncated", "ends within the type of key 'some.key'"},
    {"bad-value-truncated", "ends within the value of key 'some.key'"},
    {"bad-string-length-huge", "ends within a string of key 'some.key'"},
    {"bad-string-length", "ends within a string of key 'some.key'"},
    {"bad-bool", "key 'some.key' holds a bool that is neither 0 nor 1"},
    {"bad-bool-in-array", "key 'some.key' holds a bool that is neither 0 nor 1"},
    {"bad-array-count-huge", "key 'some.key' declares an array of 18446744073709551615 x u8"},
    {"bad-array-count-wraps", "key 'some.key' declares an array of 2305843009213693953 x u64"},
    {"bad-array-count", "key 'some.key' declares an array of 3 x u32"},
    {"bad-array-count-truncated", "ends within the array of key 'some.key'"},
    {"bad-array-strings-count", "key 'some.key' declares an array of 3 x string"},
    {"bad-array-string-length", "ends within a string of key 'some.key'"},
    {"bad-array-type", "key 'some.key' has the unknown value type 77"},
    {"bad-array-nested", "key 'some.key' is an array of arrays"},
    {"bad-array-nested-deep", "key 'some.key' is an array of arrays"},

    {"bad-alignment-0", "'general.alignment' is 0, not a power of two"},
    {"bad-alignment-24", "'general.alignment' is 24, not a power of two"},
    {"bad-alignment-large", "'general.alignment' is 2097152, not a power of two up to 1048576"},
    {"bad-alignment-2-31", "'general.alignment' is 2147483648, not a power of two up to 1048576"},
    {"bad-alignment-type", "'general.alignment' is not a u32"},
    {"bad-alignment-array", "'general.alignment' is not a u32"},

    {"bad-dims-5", "tensor 'a' has 5 dimensions"},
    {"bad-dims-huge", "tensor 'a' has 4294967295 dimensions"},
    {"bad-elements-wrap-to-0", "tensor 'a' is larger than the file: 4294967296 x 4294967296"},
    {"bad-elements-wrap-to-4", "tensor 'a' is larger than the file"},
    {"bad-elements-wrap-late", "tensor 'a' is larger than the file"},
    {"bad-elements-negative", "tensor 'a' is larger than the file"},
    {"bad-bytes-wrap", "tensor 'a' is larger than the file"},
    {"bad-blocks-wrap", "tensor 'a' is larger than the file"},
    {"bad-type-unknown", "tensor 'a' has type id 99"},
    {"bad-type-removed", "tensor 'a' has type id 4,"},
    {"bad-type-never-stored", "tensor 'a' has type id 15,"},
    {"bad-type-negative", "tensor 'a' has type id 4294967295"},
    {"bad-row-not-whole-blocks",
     "tensor 'a' of type Q4_0 has rows of 48 elements, no multiple of 32"},
    {"bad-scalar-of-blocks", "tensor 'a' of type Q4_0 has rows of 1 elements"},
    {"bad-tensor-name-empty", "tensor 0 has an empty name"},
    {"bad-tensor-name-long", "has a name longer than 63 bytes"},
    {"bad-tensor-name-nul", "tensor 'a\\x00b' has a name that is not UTF-8 without NUL"},
    {"bad-tensor-name-utf8", "tensor '\\xff' has a name that is not UTF-8 without NUL"},
    {"bad-tensor-name-length", "ends within the name of tensor 0"},
    {"bad-tensor-duplicate", "tensor 'a' occurs twice"},
    {"bad-tensor-truncated-name", "ends within the name of tensor 0"},
    {"bad-tensor-truncated-n-dims", "ends within the shape of tensor 'a'"},
    {"bad-tensor-truncated-shape", "ends within the shape of tensor 'a'"},
    {"bad-tensor-truncated-type", "ends within the type of tensor 'a'"},
    {"bad-tensor-truncated-offset", "ends within the offset of tensor 'a'"},

    {"bad-offset-unaligned", "tensor 'b' begins at byte 16 of the data, no multiple of 32"},
    {"bad-offset-first",
     "tensor 'a' begins at byte 32 of the data, but the first tensor belongs at 0"},
    {"bad-offset-beyond",
     "tensor 'b' begins at byte 1048576 of the data, but tensor 'a' of type F32 before it ends at "
     "32"},
    {"bad-offset-wraps",
     "tensor 'b' begins at byte 18446744073709551584 of the data, but tensor 'a'"},
    {"bad-offset-overlap",
     "tensor 'b' begins at byte 0 of the data, but tensor 'a' of type F32 before it ends at 32"},
    {"bad-offset-hole",
     "tensor 'b' begins at byte 64 of the data, but tensor 'a' of type F32 before it ends at 32"},
    {"bad-offset-order",
     "tensor 'a' begins at byte 32 of the data, but the first tensor belongs at 0"},
    {"bad-offset-of-empty", "tensor 'a' begins at byte 1099511627776 of the data"},
    {"bad-size", "tensor 'a' needs 64 bytes at byte 0 of the data, which has 32"},
    {"bad-size-sum", "tensor 'a' is larger than the file"},
    {"bad-size-second", "tensor 'b' needs 16 bytes at byte 32 of the data, which has 40"},
    {"bad-fork-type",
     "tensor 'b' begins at byte 64 of the data, but tensor 'a' of type Q4_0 before it ends at 32"},
    {"bad-fork-type-36",
     "tensor 'b' begins at byte 96 of the data, but tensor 'a' of type I2_S before it ends at 64"},
    {"bad-tail-missing", "tensor 'a' needs 64 bytes at byte 0 of the data, which has 32"},
    {"bad-tail-wraps", "tensor 'a' is larger than the file"},
    {"bad-fork-type-last", "goes on for 46 bytes after its last tensor 'a'"},
    {"bad-trailing-bytes", "goes on for 18 bytes after its last tensor 'a'"},
    {"bad-trailing-bytes-without-tensors", "goes on for 64 bytes after the header"},
    {"bad-no-data", "tensor 'a' needs 16 bytes at byte 0 of the data, which has 0"},
    {"bad-no-padding", "ends before the tensors' data"},

    {"scale-nan", "tensor 'a' has a NaN or an infinity at row 0, column 0"},
    {"scale-infinite", "tensor 'a' has a NaN or an infinity at row 0, column 0"},
    {"scale-minimum-nan", "tensor 'a' has a NaN or an infinity at row 0, column 0"},
    {"scale-k-nan", "tensor 'a' has a NaN or an infinity at row 0, column 0"},
    {"scale-k-minimum-nan", "tensor 'a' has a NaN or an infinity at row 0, column 0"},
    {"scale-mxfp4-nan", "tensor 'a' has a NaN or an infinity at row 0, column 0"},
    {"scale-mxfp4-large", "tensor 'a' has a NaN or an infinity at row 0, column 0"},
    {"scale-of-tensor-nan", "tensor 'a' has a NaN or an infinity at row 0, column 0"},
    {"scale-beside-nan", "tensor 'a.weight' has a NaN or an infinity at row 0, column 0"},
    {"scale-beside-large", "tensor 'a.weight' has a NaN or an infinity at row 0, column 0"},
    {"scale-beside-two", "tensor 'a.scale': expected one F32 number"},
    {"scale-beside-type", "tensor 'a.scale': expected one F32 number"},
    {"scale-value-nan", "tensor 'a' has a NaN or an infinity at row 0, column 2"},

    {"packed-layout-version", "layout version 2; this library reads 1"},
    {"packed-no-version", "no key 'edgerazor.layout_version'"},
    {"packed-no-formats", "no key 'edgerazor.tensor.formats'"},
    {"packed-names-not-strings",
     "key 'edgerazor.tensor.names': expected array of string, the file has array of u32"},
    {"packed-fewer-formats", "'edgerazor.tensor.formats' has 0 elements"},
    {"packed-fewer-rows", "'edgerazor.tensor.rows' has 0 elements"},
    {"packed-more-cols", "'edgerazor.tensor.cols' has 2 elements"},
    {"packed-missing-tensor", "packed tensor 'v' is not in the file"},
    {"packed-twice", "packed tensor 'w' is described twice"},
    {"packed-plain-type", "packed tensor 'w' is not I8 of one dimension"},
    {"packed-two-dims", "packed tensor 'w' is not I8 of one dimension"},
    {"packed-no-rows", "packed tensor 'w' of 128 bytes can't be a matrix of 0 x 4"},
    {"packed-shape-wraps",
     "packed tensor 'w' of 128 bytes can't be a matrix of 4294967296 x 4294967296"},
    {"packed-size-wraps",
     "packed tensor 'w' of 128 bytes can't be a matrix of 4611686018427387904 x 3"},
    {"packed-size",
     "packed tensor 'w': packed matrix ternary2_row of 17 x 4: expected 256 bytes, got 128"},
    {"packed-unknown-format", "packed tensor 'w' has the unknown format 'ternary9_row'"},
    {"packed-mixed-no-runs",
     "packed tensor 'w': mixed matrix of 17 x 4: its header does not fit its 320 bytes"},
    {"packed-mixed-runs",
     "packed tensor 'w': mixed matrix of 17 x 4: its header does not fit its 320 bytes"},
    {"packed-mixed-run-order",
     "packed tensor 'w': mixed matrix of 17 x 4: its runs of groups are not in order"},
    {"packed-mixed-header",
     "packed tensor 'w': mixed matrix of 17 x 4: its header does not fit its 32 bytes"},
    {"packed-mixed-parts",
     "packed tensor 'w': mixed matrix of 17 x 4: its header asks for more than its bytes"},
    {"packed-mixed-size", "packed tensor 'w': mixed matrix of 17 x 4: expected 320 bytes, got 384"},
    {"packed-dense-format", "packed tensor 'w' has the unknown format 'f32'"},
    {"packed-group-too-large",
     "packed tensor 'w' has groups of 65540 columns; at most 65536 are read"},
};

std::string refusal(std::span<const std::byte> bytes) {
  std::string error;
  (void)er::gguf_reader::try_parse(bytes, error);
  return error;
}

/// All that a host does with a model.
void load_all(const er::gguf_reader& reader) {
  const er::packed_tensors packed(reader);
  for (const er::tensor_info& tensor : reader.tensors()) {
    if (const er::packed_tensor* const found = packed.find(tensor.name)) {
      (void)er::load_matrix(*found);
    } else if (er::info_of(tensor.type).decoded()) {
      reader.validate(tensor);
      if (tensor.rows() != 0) (void)er::load_matrix(reader, tensor);
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("io/gguf_parse");

TEST_CASE("every seed is accepted, or refused with an io_error for its own reason") {
  const std::filesystem::path corpus =
      std::filesystem::path{EDGERAZOR_TEST_DATA} / ".." / "fuzz" / "corpus" / "gguf";
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    const std::string name = entry.path().stem().string();
    seen.insert(name);
    CAPTURE(name);
    const std::vector<std::byte> bytes = read_bytes(entry.path());
    if (name.starts_with("valid-")) {
      CHECK(refusal(bytes) == "");
      CHECK_NOTHROW(load_all(er::gguf_reader{std::span<const std::byte>{bytes}}));
      CHECK_NOTHROW(load_all(er::gguf_reader::open(entry.path())));
      continue;
    }
    const auto found = sentences.find(name);
    REQUIRE_MESSAGE(found != sentences.end(), "no sentence is expected for this file");
    const doctest::Contains expected(
        doctest::String(found->second.data(), static_cast<unsigned>(found->second.size())));
    if (name.starts_with("bad-")) {
      CHECK(doctest::String(refusal(bytes).c_str()) == expected);
      CHECK_THROWS_WITH_AS((void)er::gguf_reader{std::span<const std::byte>{bytes}}, expected,
                           er::io_error);
      CHECK_THROWS_WITH_AS((void)er::gguf_reader::open(entry.path()), expected, er::io_error);
    } else {
      CHECK(refusal(bytes) == "");
      CHECK_THROWS_WITH_AS(load_all(er::gguf_reader{std::span<const std::byte>{bytes}}), expected,
                           er::io_error);
    }
  }
  for (const auto& entry : sentences) {
    CAPTURE(entry.first);
    CHECK(seen.contains(std::string{entry.first}));
  }
}

TEST_CASE("valid seeds hold what they say") {
  const std::filesystem::path corpus =
      std::filesystem::path{EDGERAZOR_TEST_DATA} / ".." / "fuzz" / "corpus" / "gguf";
  const auto open = [&](const char* name) { return er::gguf_reader::open(corpus / name); };

  CHECK(open("valid-empty.gguf").entries().empty());
  CHECK(open("valid-version-2.gguf").version() == 2);
  CHECK(open("valid-alignment-1.gguf").get("b").bytes.size() == 4);
  const er::gguf_reader metadata = open("valid-metadata.gguf");
  CHECK(metadata.get_strings("strings") ==
        std::vector<std::string_view>{"a", "", std::string_view{"b\0c", 3}, "\xc3\xa9"});
  CHECK(metadata.get_i32s("empty").empty());
  CHECK(metadata.get_string("not utf-8") == std::string_view{"\xff\0\xfe", 3});

  const er::gguf_reader scalar = open("valid-scalar.gguf");
  CHECK(scalar.get("a").dim_count == 0);
  CHECK(scalar.get("a").rows() == 1);
  CHECK(scalar.get("a").cols() == 1);
  const er::gguf_reader four = open("valid-four-dims.gguf");
  CHECK(four.get("a").rows() == 6);
  float row[2];
  four.read_rows(four.get("a"), {5, 6}, {row, 1, 2});
  CHECK(row[1] == 11.0f);
  const er::gguf_reader empty = open("valid-zero-dim.gguf");
  CHECK(empty.get("empty").rows() == 0);
  CHECK(empty.get("empty").bytes.empty());

  // Code 3 of TQ2_0 is 2 d; byte 255 of TQ1_0 has the digits of 242, all 2, so 1 d.
  const er::gguf_reader codes = open("valid-noncanonical-codes.gguf");
  std::vector<float> values(256);
  codes.read_rows(codes.get("two"), {0, 1}, {values.data(), 1, 256});
  CHECK(values == std::vector<float>(256, 2.0f));
  codes.read_rows(codes.get("one"), {0, 1}, {values.data(), 1, 256});
  CHECK(values == std::vector<float>(256, 1.0f));
}

TEST_CASE("every prefix of a good file is refused or, past its last tensor, whole") {
  const std::vector<std::byte> bytes =
      read_bytes(std::filesystem::path{EDGERAZOR_TEST_DATA} / "gguf_package.gguf");
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

TEST_SUITE_END();
