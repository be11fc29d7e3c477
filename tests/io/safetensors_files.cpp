// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/safetensors_files.hpp>

namespace er = edgerazor;
namespace fs = std::filesystem;

namespace {

const fs::path shards = fs::path{EDGERAZOR_TEST_DATA} / "hf" / "qwen3_sharded";
constexpr const char* index_name = "model.safetensors.index.json";
constexpr std::string_view last_entry =
    R"("model.norm.weight": "model-00003-of-00003.safetensors")";

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write_text(const fs::path& path, std::string_view text) {
  write_bytes(path, std::as_bytes(std::span{text}));
}
void copy_shards(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(shards))
    fs::copy_file(entry.path(), folder / entry.path().filename());
}

/// What is said of the shards with their last entry of the index replaced.
std::string refusal(std::string_view replacement) {
  const temporary_folder folder;
  copy_shards(folder.path);
  std::string text = text_of(folder / index_name);
  const std::size_t at = text.find(last_entry);
  REQUIRE(at != std::string::npos);
  text.replace(at, last_entry.size(), replacement);
  write_text(folder / index_name, text);
  try {
    (void)er::safetensors_files::open(folder.path);
  } catch (const er::io_error& error) {
    const std::string sentence = error.what();
    const std::string prefix = (folder / index_name).string() + ": ";
    CHECK(sentence.find(folder.path.string()) != std::string::npos);
    return sentence.starts_with(prefix) ? sentence.substr(prefix.size()) : sentence;
  }
  return "";
}

}  // namespace

TEST_SUITE_BEGIN("io/safetensors_files");

TEST_CASE("three shards are one model") {
  const er::safetensors_files files = er::safetensors_files::open(shards);
  CHECK(files.readers().size() == 3);
  CHECK(files.tensors().size() == 25);
  CHECK(files.metadata().at("format") == "pt");
  const er::safetensors_tensor& norm = files.get("model.norm.weight");
  CHECK(norm.shape == std::vector<std::uint64_t>{32});
  CHECK(files.readers()[2].get("model.norm.weight").bytes.data() == norm.bytes.data());
  CHECK(files.find("model.norm.bias") == nullptr);
  CHECK_THROWS_WITH_AS((void)files.get("model.norm.bias"),
                       doctest::Contains("index.json has no tensor 'model.norm.bias'"),
                       er::io_error);
  const std::byte first = norm.bytes[0];
  files.drop(norm);
  CHECK(norm.bytes[0] == first);
  CHECK(er::safetensors_files::open(shards / index_name).tensors().size() == 25);
}

TEST_CASE("one file is a model too, and is taken before an index") {
  const fs::path folder = fs::path{EDGERAZOR_TEST_DATA} / "hf" / "llama_tied";
  const er::safetensors_files by_folder = er::safetensors_files::open(folder);
  CHECK(by_folder.readers().size() == 1);
  CHECK(er::safetensors_files::open(folder / "model.safetensors").tensors().size() ==
        by_folder.tensors().size());
  const temporary_folder both;
  copy_shards(both.path);
  fs::copy_file(folder / "model.safetensors", both / "model.safetensors");
  CHECK(er::safetensors_files::open(both.path).tensors().size() == by_folder.tensors().size());
}

TEST_CASE("a folder without a model") {
  const temporary_folder folder;
  CHECK_THROWS_WITH_AS((void)er::safetensors_files::open(folder.path),
                       doctest::Contains("has no model.safetensors and no "
                                         "model.safetensors.index.json"),
                       er::io_error);
  CHECK_THROWS_AS((void)er::safetensors_files::open(folder / "none"), er::io_error);
}

TEST_CASE("file names that leave the folder, or are no names") {
  const auto of_norm = [](std::string_view file) {
    return refusal("\"model.norm.weight\": " + std::string{file});
  };
  const auto expected = [](std::string_view file) {
    return "tensor 'model.norm.weight' is in '" + std::string{file} +
           "', expected the name of a .safetensors file of the same folder";
  };
  CHECK(of_norm("\"/etc/hostname\"") == expected("/etc/hostname"));
  CHECK(of_norm("\"..\\\\x.safetensors\"") == expected("..\\x.safetensors"));
  CHECK(of_norm("\"\"") == expected(""));
  CHECK(of_norm("\"config.json\"") == expected("config.json"));
  CHECK(of_norm("\"model-00001-of-00003.safetensors\\u0000.txt\"") ==
        expected("model-00001-of-00003.safetensors\\x00.txt"));
  CHECK(of_norm("\"../llama_tied/model.safetensors\"") ==
        expected("../llama_tied/model.safetensors"));
  CHECK(of_norm("\"sub/model-00001-of-00003.safetensors\"") ==
        expected("sub/model-00001-of-00003.safetensors"));
  CHECK(of_norm("\"c:model.safetensors\"") == expected("c:model.safetensors"));
  CHECK(of_norm("7") == "tensor 'model.norm.weight' has a file that is no string");
  CHECK(of_norm("\"model-00004-of-00003.safetensors\"").find("model-00004-of-00003.safetensors'") !=
        std::string::npos);
}

TEST_CASE("map and files disagree") {
  CHECK(refusal(std::string{last_entry} +
                R"(, "model.layers.9.mlp.up_proj.weight": "model-00001-of-00003.safetensors")") ==
        "tensor 'model.layers.9.mlp.up_proj.weight' is not in 'model-00001-of-00003.safetensors'");
  CHECK(refusal(R"("model.norm.weight": "model-00001-of-00003.safetensors")") ==
        "tensor 'model.norm.weight' of 'model-00003-of-00003.safetensors' is in "
        "'model-00001-of-00003.safetensors' by the map");
  CHECK(refusal(std::string{last_entry} + ", " + std::string{last_entry}) ==
        "its JSON has the key 'model.norm.weight' twice in an object");
}

TEST_CASE("a tensor that the map omits, and a map that is none") {
  const temporary_folder folder;
  copy_shards(folder.path);
  const std::string text = text_of(folder / index_name);
  const auto with = [&](const std::string& changed, const char* expected) {
    write_text(folder / index_name, changed);
    CHECK_THROWS_WITH_AS((void)er::safetensors_files::open(folder.path),
                         doctest::Contains(expected), er::io_error);
  };
  std::string omitted = text;
  const std::size_t comma = omitted.rfind(',', omitted.find(last_entry));
  omitted.erase(comma, omitted.find(last_entry) + last_entry.size() - comma);
  with(omitted,
       "tensor 'model.norm.weight' of 'model-00003-of-00003.safetensors' is not in the map");
  with(R"({"metadata": {"total_size": 51648}, "weight_map": []})",
       "it has no object 'weight_map' of tensors and files");
  with(R"({"metadata": {"total_size": 51648}})",
       "it has no object 'weight_map' of tensors and files");
  with("[]", "it has no object 'weight_map' of tensors and files");
  with("{", "it is no JSON");
  std::string wrong_size = text;
  wrong_size.replace(wrong_size.find("51648"), 5, "1");
  write_text(folder / index_name, wrong_size);
  CHECK_NOTHROW((void)er::safetensors_files::open(folder.path));
}

TEST_CASE("two shards hold the same tensor") {
  const temporary_folder folder;
  copy_shards(folder.path);
  fs::copy_file(folder / "model-00003-of-00003.safetensors", folder / "other.safetensors");
  std::string text = text_of(folder / index_name);
  text.replace(text.find(last_entry), last_entry.size(),
               R"("model.norm.weight": "other.safetensors")");
  write_text(folder / index_name, text);
  CHECK_THROWS_WITH_AS((void)er::safetensors_files::open(folder.path),
                       doctest::Contains("of 'model-00003-of-00003.safetensors' is in "
                                         "'other.safetensors' by the map"),
                       er::io_error);
}

TEST_CASE("a link out of the folder is followed or refused, as the host asks") {
  const temporary_folder folder, outside;
  copy_shards(folder.path);
  const char* const name = "model-00003-of-00003.safetensors";
  fs::rename(folder / name, outside / "blob");
  std::error_code code;
  fs::create_symlink(outside / "blob", folder / name, code);
  if (code) return;  // a system or an account that can't make links
  CHECK_NOTHROW((void)er::safetensors_files::open(folder.path));
  const auto strictly = [&] {
    (void)er::safetensors_files::open(folder.path, er::file_access::map,
                                      er::safetensors_links::in_folder);
  };
  CHECK_THROWS_WITH_AS(
      strictly(), doctest::Contains("model-00003-of-00003.safetensors is a link out of its folder"),
      er::io_error);
  fs::remove(folder / name);
  fs::copy_file(outside / "blob", folder / "blob");
  fs::create_symlink("blob", folder / name);
  CHECK_NOTHROW(strictly());
}

TEST_SUITE_END();
