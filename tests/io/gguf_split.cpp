// SPDX-License-Identifier: Apache-2.0
// A split model is read as one file, and a set of files in which something does not fit is refused
// with its sentence.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_split.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/gguf_split");

namespace {

/// One part: its keys, which llama.cpp stores as u16 and i32, and the tensors it holds. Without a
/// key where its number is below 0, or below -1 for tensor_count.
struct part {
  std::string file;
  std::vector<std::string> tensors;
  int number, count = 3, tensor_count = 5;
};

std::vector<part> whole_model() {
  return {{"m-00001-of-00003.gguf", {"a", "b"}, 0},
          {"m-00002-of-00003.gguf", {}, 1},
          {"m-00003-of-00003.gguf", {"c", "d", "e"}, 2}};
}

/// Element i of tensor "a" is 100 i + 'a'.
std::vector<float> values_of(std::string_view name) {
  std::vector<float> values(8);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(100 * i) + static_cast<float>(name[0]);
  return values;
}

void write(const temporary_folder& folder, const part& one) {
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  if (one.number == 0) writer.set_string("some.key", "value");
  if (one.number >= 0) writer.set_u16("split.no", static_cast<std::uint16_t>(one.number));
  if (one.count >= 0) writer.set_u16("split.count", static_cast<std::uint16_t>(one.count));
  if (one.tensor_count >= -1) writer.set_i32("split.tensors.count", one.tensor_count);
  for (const std::string& name : one.tensors) {
    writer.add_tensor(name, er::ggml_type::f32, {4, 2}, [name](er::tensor_sink& sink) {
      const std::vector<float> values = values_of(name);
      sink.write(std::as_bytes(std::span{values}));
    });
  }
  writer.write(folder.path / one.file);
}

/// What is said of a model whose parts `change` spoils.
std::string refusal(const std::function<void(std::vector<part>&)>& change,
                    const char* opened = "m-00001-of-00003.gguf") {
  const temporary_folder folder;
  std::vector<part> parts = whole_model();
  change(parts);
  for (const part& one : parts) write(folder, one);
  std::string error, same;
  CHECK_FALSE(er::gguf_reader::try_open(folder / opened, error));
  CHECK_FALSE(er::gguf_reader::try_open(folder / opened, same, er::file_access::read));
  CHECK(error == same);
  CHECK(error.find(opened) != std::string::npos);
  // Without the folder, which has another name each time.
  for (std::size_t at; (at = error.find(folder.path.string())) != std::string::npos;)
    error.erase(at, folder.path.string().size() + 1);
  return error;
}

}  // namespace

TEST_CASE("the first part of a split model opens it, and is as one file") {
  const temporary_folder folder;
  for (const part& one : whole_model()) write(folder, one);
  for (const er::file_access access : {er::file_access::map, er::file_access::read}) {
    er::gguf_reader opened = er::gguf_reader::open(folder / "m-00001-of-00003.gguf", access);
    const er::gguf_reader reader = std::move(opened);
    CHECK(opened.tensors().empty());  // NOLINT(bugprone-use-after-move): what is left is defined
    CHECK(reader.get_string("some.key") == "value");
    for (const char* key : {"split.no", "split.count", "split.tensors.count"})
      CHECK_FALSE(reader.has(key));
    REQUIRE(reader.tensors().size() == 5);
    for (std::size_t i = 0; i < 5; ++i) {
      const std::string name{static_cast<char>('a' + i)};
      const er::tensor_info& tensor = reader.tensors()[i];
      CHECK(tensor.name == name);
      CHECK(reader.find(name) == &tensor);
      reader.drop(tensor);
      std::vector<float> values(8);
      reader.read_rows(tensor, {0, 2}, {values.data(), 2, 4});
      CHECK(values == values_of(name));
    }
    CHECK(reader.find("f") == nullptr);
    // Copied, it is one file that says nothing of parts.
    er::gguf_writer writer;
    writer.copy_metadata(reader);
    for (const er::tensor_info& tensor : reader.tensors()) writer.copy_tensor(tensor);
    writer.write(folder / "joined.gguf");
    CHECK(er::gguf_reader::open(folder / "joined.gguf").tensors().size() == 5);
  }
}

TEST_CASE("a model of one part, and one that was joined again, whose keys remain") {
  const temporary_folder folder;
  write(folder, {"one.gguf", {"a"}, 0, 1, 1});
  CHECK(er::gguf_reader::open(folder / "one.gguf").get("a").rows() == 2);
  write(folder, {"joined.gguf", {"a"}, 0, 0, 7});
  const er::gguf_reader joined = er::gguf_reader::open(folder / "joined.gguf");
  CHECK(joined.tensors().size() == 1);
  CHECK_FALSE(joined.has("split.count"));
}

TEST_CASE("a part from memory is read as it stands") {
  const temporary_folder folder;
  for (const part& one : whole_model()) write(folder, one);
  const std::vector<std::byte> bytes = read_bytes(folder / "m-00003-of-00003.gguf");
  const er::gguf_reader reader{std::span<const std::byte>{bytes}};
  CHECK(reader.tensors().size() == 3);
  CHECK(reader.get_u32("split.count") == 3);
}

TEST_CASE("parts that are no whole are refused, each in its sentence") {
  CHECK(refusal([](auto&) {}, "m-00002-of-00003.gguf") ==
        "m-00002-of-00003.gguf: the file is part 2 of 3 of a split model; open the first, "
        "'m-00001-of-00003.gguf'");
  CHECK(refusal([](auto& p) { p[1].file = "second.gguf"; }, "second.gguf") ==
        "second.gguf: the file is part 2 of 3 of a split model; open the first");
  CHECK(refusal([](auto& p) { p[0].file = "first.gguf"; }, "first.gguf") ==
        "first.gguf: the file is part 1 of 3 of a split model, expected a name that ends in "
        "-00001-of-00003.gguf");
  CHECK(refusal([](auto& p) { p[2].file = "elsewhere.gguf"; }) ==
        "m-00001-of-00003.gguf: can't read 'm-00003-of-00003.gguf': No such file or directory");
  CHECK(refusal([](auto& p) { p[1].number = 2; }) ==
        "m-00001-of-00003.gguf: part 'm-00002-of-00003.gguf': expected part 2 of 3, the file is "
        "part 3 of 3");
  CHECK(refusal([](auto& p) { p[2].count = 4; }) ==
        "m-00001-of-00003.gguf: part 'm-00003-of-00003.gguf': expected part 3 of 3, the file is "
        "part 3 of 4");
  CHECK(refusal([](auto& p) { p[1].number = p[1].count = p[1].tensor_count = -2; }) ==
        "m-00001-of-00003.gguf: part 'm-00002-of-00003.gguf': expected part 2 of 3, the file is "
        "no part of a split model");
  CHECK(refusal([](auto& p) { p[1].tensor_count = 6; }) ==
        "m-00001-of-00003.gguf: part 'm-00002-of-00003.gguf': the model has 6 tensors, the first "
        "part says 5");
  CHECK(refusal([](auto& p) { p[2].tensors.pop_back(); }) ==
        "m-00001-of-00003.gguf: the parts of the model hold 4 tensors, expected 5");
  CHECK(refusal([](auto& p) { p[2].tensors[1] = "b"; }) ==
        "m-00001-of-00003.gguf: tensor 'b' is in part 1 and in part 3");
  CHECK(refusal([](auto& p) { p[0].count = -1; }) ==
        "m-00001-of-00003.gguf: key 'split.count' is missing, though the file is a part of a split "
        "model");
  CHECK(refusal([](auto& p) { p[0].number = -1; }) ==
        "m-00001-of-00003.gguf: key 'split.no' is missing, though the file is a part of a split "
        "model");
  CHECK(refusal([](auto& p) { p[0].number = 3; }) ==
        "m-00001-of-00003.gguf: the file says that it is part 4 of 3");
  CHECK(refusal([](auto& p) { p[0].tensor_count = -1; }) ==
        "m-00001-of-00003.gguf: key 'split.tensors.count' is no integer from 0 to 1048576");
}

TEST_CASE("a part that is no GGUF file, or cut short, is named") {
  const temporary_folder folder;
  for (const part& one : whole_model()) write(folder, one);
  const std::filesystem::path last = folder / "m-00003-of-00003.gguf";
  std::filesystem::resize_file(last, std::filesystem::file_size(last) - 64);
  CHECK_THROWS_WITH_AS((void)er::gguf_reader::open(folder / "m-00001-of-00003.gguf"),
                       doctest::Contains("part 'm-00003-of-00003.gguf': tensor 'd' needs 32 bytes"),
                       er::io_error);
  write_bytes(last, {});
  CHECK_THROWS_WITH_AS(
      (void)er::gguf_reader::open(folder / "m-00001-of-00003.gguf"),
      doctest::Contains("part 'm-00003-of-00003.gguf': the file does not begin with GGUF"),
      er::io_error);
}

TEST_SUITE_END();
