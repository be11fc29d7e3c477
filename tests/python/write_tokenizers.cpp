// SPDX-License-Identifier: Apache-2.0
// write_tokenizers FOLDER DATA: the vocabularies of tests/data/tokenizers, once through GGUF and
// back into folders of Hugging Face's form, and in FOLDER/encodings.json what they make of some
// texts.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "llm/tokenizer_folder.hpp"
#include "llm/tokenizer_gguf.hpp"
#include "llm/utf8.hpp"

namespace {

using nlohmann::json;

json read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

/// Texts of characters from several scripts, words, white space and control tokens.
json random_texts() {
  constexpr std::pair<std::uint32_t, std::uint32_t> pools[] = {
      {0x20, 0x7f},   {0xa0, 0x250},    {0x300, 0x330},     {0x391, 0x3ca},   {0x5d0, 0x5eb},
      {0x904, 0x93a}, {0x1100, 0x1180}, {0x2000, 0x2030},   {0x3041, 0x3097}, {0x4e00, 0x4f00},
      {0x61, 0x7b},   {0x30, 0x3a},     {0x1f600, 0x1f640}, {0x20, 0x21},     {0x09, 0x0e}};
  const char* const whole[] = {"the ", " the", "<|im_end|>", "<s>", "<eos>", "'LL", "\r\n", "  "};
  std::mt19937 random(5);
  json texts = json::array();
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (auto stretches = random() % 12; stretches > 0; --stretches) {
      if (random() % 4 == 0) text += whole[random() % std::size(whole)];
      const auto& [first, end] = pools[random() % std::size(pools)];
      for (auto size = random() % 8; size > 0; --size)
        llm::append_utf8(text, first + static_cast<std::uint32_t>(random() % (end - first)));
    }
    texts.push_back(text);
  }
  return texts;
}

void write(const std::filesystem::path& folder, const std::filesystem::path& data) {
  const json expected = read(data / "expected.json");
  json encodings = json::array();
  for (const auto& [family, cases] : expected.items()) {
    const std::filesystem::path own = folder / family, source = own / "source";
    std::filesystem::create_directories(source);
    std::filesystem::copy_file(data / (family + ".json"), source / "tokenizer.json",
                               std::filesystem::copy_options::overwrite_existing);
    edgerazor::gguf_writer writer;
    writer.set_string("general.architecture", "llama");
    llm::write_vocabulary(writer, llm::read_vocabulary(source, 600));
    writer.write(own / "words.gguf");
    const llm::vocabulary words =
        llm::read_vocabulary(edgerazor::gguf_reader::open(own / "words.gguf"));
    llm::write_vocabulary(own, words);
    const llm::tokenizer tokens = llm::read_tokenizer(own, words.tokens.size());
    json texts = random_texts();
    for (const json& one : cases) texts.push_back(one["text"]);
    for (const json& one : texts) {
      const std::string text = one;
      encodings.push_back({{"family", family},
                           {"text", text},
                           {"ids", tokens.encode(text, llm::tokenizer::markup::control_tokens)}});
    }
  }
  std::ofstream(folder / "encodings.json") << encodings.dump();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  try {
    write(arguments[1], arguments[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_tokenizers: %s\n", error.what());
    return 1;
  }
}
