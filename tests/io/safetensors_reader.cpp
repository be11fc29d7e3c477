// SPDX-License-Identifier: Apache-2.0
// The fuzzer's seeds (tests/fuzz/make_safetensors_corpus.py): valid files, and one for each way in
// which a file can lie. Each of the latter is refused, and for its own reason.
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/safetensors_reader.hpp>
#include <edgerazor/io/safetensors_writer.hpp>

namespace er = edgerazor;

namespace {

/// File and what its sentence says after the file's name. Files that begin with "valid-" have no
/// entry.
const std::map<std::string, std::string> sentences{
    {"bad-array-entry", "tensor 'a' is no JSON object"},
    {"bad-array-header", "its header begins with '[', expected the '{' of a JSON object"},
    {"bad-comment", "it is no JSON: byte 2 is not expected, after '{/'"},
    {"bad-data-cut", "tensor 'a' ends at byte 8 of the data, which has 6"},
    {"bad-deep-extra-field", "its JSON is nested more than 127 levels deep"},
    {"bad-deep-metadata", "__metadata__ is no JSON object"},
    {"bad-dtype-lower-case", "tensor 'a' has the unknown dtype 'f32'"},
    {"bad-dtype-number", "tensor 'a' has a dtype that is no string"},
    {"bad-dtype-unknown", "tensor 'a' has the unknown dtype 'F128'"},
    {"bad-empty-file", "the file has 0 bytes, expected at least the 8 of its header's length"},
    {"bad-field-twice", "tensor 'a' has the field 'dtype' twice"},
    {"bad-leading-bom", "it begins with a byte order mark, expected JSON"},
    {"bad-leading-space", "its header begins with ' ', expected the '{' of a JSON object"},
    {"bad-length-max",
     "its header has 18446744073709551615 bytes, more than the 100000000 that are read"},
    {"bad-length-one-more", "its header has 57 bytes, more than the file's 56 that follow"},
    {"bad-length-over-100mb",
     "its header has 100000001 bytes, more than the 100000000 that are read"},
    {"bad-length-past-file", "its header has 4096 bytes, more than the file's 64 that follow"},
    {"bad-length-wraps",
     "its header has 18446744073709551608 bytes, more than the 100000000 that are read"},
    {"bad-length-zero", "its header is empty, expected a JSON object"},
    {"bad-lfs-pointer", "the file is a pointer of Git LFS, not the file that it stands for"},
    {"bad-metadata-is-string", "__metadata__ is no JSON object"},
    {"bad-metadata-is-tensor", "key 'shape' of __metadata__ is no string"},
    {"bad-metadata-key-twice", "key 'x' of __metadata__ occurs twice"},
    {"bad-metadata-nested", "key 'x' of __metadata__ is no string"},
    {"bad-metadata-number", "key 'x' of __metadata__ is no string"},
    {"bad-metadata-twice", "__metadata__ occurs twice"},
    {"bad-name-empty", "a tensor has an empty name"},
    {"bad-name-lone-surrogate", "it is no JSON: byte 9 is not expected, after '\"\\ud800\"'"},
    {"bad-name-nul", "tensor 'a\\x00b' has a name with NUL"},
    {"bad-name-twice-escaped", "tensor 'a' occurs twice"},
    {"bad-name-twice-same-range", "tensor 'a' occurs twice"},
    {"bad-name-twice-two-ranges", "tensor 'a' occurs twice"},
    {"bad-name-utf8", "it is no JSON: byte 3 is not expected, after '\"\\xff'"},
    {"bad-nan", "it is no JSON: byte 30 is not expected, after '\"shape\":[N'"},
    {"bad-no-dtype", "tensor 'a' has no dtype"},
    {"bad-no-offsets", "tensor 'a' has no data_offsets"},
    {"bad-no-shape", "tensor 'a' has no shape"},
    {"bad-nul-padding", "its JSON is padded with NUL bytes, expected spaces"},
    {"bad-null-entry", "tensor 'a' is no JSON object"},
    {"bad-offsets-first",
     "tensor 'a' begins at byte 8 of the data, but the first tensor belongs at 0"},
    {"bad-offsets-hole",
     "tensor 'b' begins at byte 12 of the data, but tensor 'a' before it ends at 8"},
    {"bad-offsets-negative",
     "tensor 'a' has a data_offsets that is no array of integers from 0 to 2^64 - 1"},
    {"bad-offsets-one", "tensor 'a' has 1 data_offsets, expected 2"},
    {"bad-offsets-over-2-53", "tensor 'a' ends at byte 9007199254740993 of the data, which has 8"},
    {"bad-offsets-over-64-bits",
     "tensor 'a' has a data_offsets that is no array of integers from 0 to 2^64 - 1"},
    {"bad-offsets-overlap",
     "tensor 'b' begins at byte 4 of the data, but tensor 'a' before it ends at 8"},
    {"bad-offsets-reversed", "tensor 'a' ends at byte 0 of the data, before it begins at 8"},
    {"bad-offsets-three", "tensor 'a' has more than 2 data_offsets"},
    {"bad-offsets-two-names-one-range",
     "tensor 'b' begins at byte 0 of the data, but tensor 'a' before it ends at 8"},
    {"bad-seven-bytes", "the file has 7 bytes, expected at least the 8 of its header's length"},
    {"bad-shape-bits-wrap",
     "tensor 'a' of dtype F32 and shape [4611686018427387904]: its size does not fit 64 bits"},
    {"bad-shape-dimensions", "tensor 'a' has more than 8 dimensions"},
    {"bad-shape-empty-after-overflow",
     "tensor 'a' of dtype U8 and shape [9223372036854775808, 2, 0]: its size does not fit 64 bits"},
    {"bad-shape-exponent",
     "tensor 'a' has a shape that is no array of integers from 0 to 2^64 - 1"},
    {"bad-shape-f4-odd", "tensor 'a' of dtype F4 and shape [3]: its 12 bits are no whole bytes"},
    {"bad-shape-f6-not-whole-bytes",
     "tensor 'a' of dtype F6_E2M3 and shape [3]: its 18 bits are no whole bytes"},
    {"bad-shape-fraction",
     "tensor 'a' has a shape that is no array of integers from 0 to 2^64 - 1"},
    {"bad-shape-minus-zero",
     "tensor 'a' has a shape that is no array of integers from 0 to 2^64 - 1"},
    {"bad-shape-negative",
     "tensor 'a' has a shape that is no array of integers from 0 to 2^64 - 1"},
    {"bad-shape-nested", "tensor 'a' has a shape that is no array of integers from 0 to 2^64 - 1"},
    {"bad-shape-number", "tensor 'a' has a shape that is no array of integers from 0 to 2^64 - 1"},
    {"bad-shape-object", "tensor 'a' has a shape that is no array of integers from 0 to 2^64 - 1"},
    {"bad-shape-product-wraps-to-zero",
     "tensor 'a' of dtype U8 and shape [4294967296, 4294967296]: its size does not fit 64 bits"},
    {"bad-shape-string", "tensor 'a' has a shape that is no array of integers from 0 to 2^64 - 1"},
    {"bad-size-large", "tensor 'a' of dtype F32 and shape [1] needs 4 bytes, but has 8"},
    {"bad-size-small", "tensor 'a' of dtype F32 and shape [3] needs 12 bytes, but has 8"},
    {"bad-text-after-nul", "byte 54 of its JSON is NUL"},
    {"bad-text-after-object", "it is no JSON: byte 55 is not expected, after '8]}}x'"},
    {"bad-trailing-bytes-without-tensors", "the file goes on for 2 bytes after its header"},
    {"bad-trailing-bytes", "the file goes on for 4 bytes after its last tensor 'a'"},
    {"bad-trailing-comma", "it is no JSON: byte 55 is not expected, after '8]},}'"},
    {"bad-truncated-json", "it is no JSON: byte 51 is not expected, after '0,'"},
};

std::filesystem::path data(const char* name) {
  return std::filesystem::path{EDGERAZOR_TEST_DATA} / "safetensors" / name;
}

}  // namespace

TEST_SUITE_BEGIN("io/safetensors_reader");

TEST_CASE("every seed is accepted, or refused with an io_error for its own reason") {
  const std::filesystem::path corpus =
      std::filesystem::path{EDGERAZOR_TEST_DATA} / ".." / "fuzz" / "corpus" / "safetensors";
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    const std::string name = entry.path().stem().string();
    seen.insert(name);
    CAPTURE(name);
    const std::vector<std::byte> bytes = read_bytes(entry.path());
    std::string error;
    const auto reader = er::safetensors_reader::try_parse(bytes, "the file", error);
    CHECK(reader.has_value() == name.starts_with("valid-"));
    if (reader) {
      CHECK(error == "");
      CHECK_NOTHROW((void)er::safetensors_reader::open(entry.path()));
      for (const er::safetensors_tensor& tensor : reader->tensors())
        CHECK(&reader->get(tensor.name) == &tensor);
      continue;
    }
    const auto found = sentences.find(name);
    REQUIRE_MESSAGE(found != sentences.end(), "no sentence is expected for this file");
    CHECK(error == "the file: " + found->second);
    const std::string with_path = er::printable(entry.path().string(), 1024) + ": " + found->second;
    CHECK_THROWS_WITH_AS((void)er::safetensors_reader::open(entry.path()), with_path.c_str(),
                         er::io_error);
  }
  for (const auto& sentence : sentences) CHECK(seen.count(sentence.first) == 1);
}

TEST_CASE("a file of the format's own writer") {
  const er::safetensors_reader reader = er::safetensors_reader::open(data("dtypes.safetensors"));
  CHECK(reader.tensors().size() == 24);
  CHECK(reader.metadata().at("format") == "pt");
  const er::safetensors_tensor& scalar = reader.get("scalar");
  CHECK(scalar.shape.empty());
  CHECK(scalar.elements() == 1);
  CHECK(reader.get("empty").elements() == 0);
  CHECK(reader.find("nothing") == nullptr);
  const std::string expected =
      er::printable(data("dtypes.safetensors").string(), 1024) + " has no tensor 'nothing'";
  CHECK_THROWS_WITH_AS((void)reader.get("nothing"), expected.c_str(), er::io_error);
}

TEST_CASE("a reader that is moved keeps its bytes") {
  er::safetensors_reader first = er::safetensors_reader::open(data("unaligned.safetensors"));
  const std::byte* const bytes = first.tensors()[0].bytes.data();
  const er::safetensors_reader second = std::move(first);
  CHECK(second.tensors()[0].bytes.data() == bytes);
  CHECK(second.find(second.tensors()[0].name) == &second.tensors()[0]);
}

TEST_CASE("a file that is not there") {
  const temporary_folder folder;
  CHECK_THROWS_WITH_AS((void)er::safetensors_reader::open(folder / "none.safetensors"),
                       doctest::Contains("none.safetensors"), er::io_error);
}

TEST_CASE("drop leaves memory alone that is not the file's") {
  const temporary_folder folder;
  const std::vector<std::byte> small(64);
  er::safetensors_writer writer;
  writer.add("a", er::safetensors_dtype::u8, {64}, small);
  writer.write(folder / "a.safetensors");
  const auto reader = er::safetensors_reader::open(folder / "a.safetensors");
  const std::vector<std::byte> mine(1 << 20, std::byte{7});
  er::safetensors_tensor tensor = reader.get("a");
  tensor.bytes = mine;
  reader.drop(tensor);
  CHECK(std::ranges::count(mine, std::byte{7}) == 1 << 20);
}

TEST_SUITE_END();
