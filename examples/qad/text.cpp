// SPDX-License-Identifier: Apache-2.0
#include "text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "byte_pair_training.hpp"
#include "llm/utf8.hpp"
#include "mixed_hash.hpp"
#include "support/system.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

namespace er = edgerazor;

namespace {

std::string output_of(const char* command, int& status) {
  std::string text;
  std::FILE* const pipe = ::popen(command, "r");
  if (pipe == nullptr) {
    status = -1;
    return text;
  }
  std::array<char, 65536> buffer;
  for (std::size_t count; (count = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    text.append(buffer.data(), count);
  }
  status = ::pclose(pipe);
  return text;
}

std::string default_text() {
  int status = 0;
  const std::string verses = output_of("bible -f gen1:1-rev22:21 2>/dev/null", status);
  if (status != 0 || verses.size() < 4'000'000) {
    throw er::io_error(
        "the default text is printed by the program 'bible', which is not here: install the "
        "package bible-kjv "
        "(apt-get install bible-kjv), or name text files");
  }
  return join_verses(verses);
}

std::string read_file(const std::string& path) {
  std::string text = support::read_text(path);
  if (text.empty())
    throw er::io_error("the text " + er::quoted(path, er::longest_path) + " is empty");
  if (const std::size_t at = first_invalid(text); at != text.size()) {
    throw er::io_error("the text " + er::quoted(path, er::longest_path) + " is not UTF-8 at byte " +
                       std::to_string(at));
  }
  return text;
}

}  // namespace

std::size_t first_invalid(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const llm::utf8_character next = llm::first_character(text.substr(at));
    if (next.code == llm::replacement_character && text.substr(at, 3) != "\xef\xbf\xbd") return at;
    at += next.size;
  }
  return text.size();
}

std::string read_text(const std::vector<std::string>& files) {
  if (files.empty()) return default_text();
  std::string text;
  for (const std::string& path : files) {
    if (!text.empty() && text.back() != '\n') text += '\n';
    text += read_file(path);
  }
  return text;
}

std::string join_verses(std::string_view verses) {
  std::string text;
  std::string_view chapter;
  while (!verses.empty()) {
    const std::string_view line = verses.substr(0, verses.find('\n'));
    verses.remove_prefix(std::min(verses.size(), line.size() + 1));
    const std::size_t colon = line.find(':'), space = line.find(' ');
    if (colon == std::string_view::npos || space == std::string_view::npos || space < colon)
      continue;
    const std::string_view here = line.substr(0, colon);
    if (!text.empty()) text += here == chapter ? ' ' : '\n';
    text += line.substr(space + 1);
    chapter = here;
  }
  return text.empty() ? text : text + '\n';
}

divided_text divide(std::string_view text, const split_rule& rule) {
  if (rule.block == 0 || rule.every < 2)
    throw std::invalid_argument(
        "a text is divided in blocks of no characters, or every one is kept");
  divided_text parts;
  for (std::size_t begin = 0, index = 0; begin < text.size(); ++index) {
    const std::size_t line_end = text.find('\n', std::min(text.size(), begin + rule.block - 1));
    const std::size_t end = line_end == std::string_view::npos ? text.size() : line_end + 1;
    (index % rule.every == rule.every - 1 ? parts.validation : parts.training) +=
        text.substr(begin, end - begin);
    begin = end;
  }
  if (parts.validation.empty()) {
    throw std::invalid_argument("the text is too short to keep a part for validation: it has " +
                                std::to_string(text.size()) + " characters, expected " +
                                std::to_string(rule.every) + " blocks of " +
                                std::to_string(rule.block) + " in whole lines");
  }
  return parts;
}

corpus::corpus(const divided_text& text, std::size_t vocabulary)
    : corpus(text, train_byte_pairs(text.training, vocabulary)) {}

corpus::corpus(const divided_text& text, llm::vocabulary data)
    : tokenizer(std::move(data)),
      training(tokenizer.encode(text.training, llm::tokenizer::markup::plain, false)),
      validation(tokenizer.encode(text.validation, llm::tokenizer::markup::plain, false)) {}

batches::batches(std::span<const token_id> text, std::size_t sequences, std::size_t length,
                 std::uint64_t seed)
    : text_(text),
      sequences_(sequences),
      length_(length),
      seed_(seed),
      rows_(sequences * (length + 1)) {
  if (text.size() <= length) {
    throw std::invalid_argument("the training text has " + std::to_string(text.size()) +
                                " tokens, expected more than the " + std::to_string(length) +
                                " of a window");
  }
}

std::span<const token_id> batches::operator()(std::uint64_t step) {
  const std::uint64_t starts = text_.size() - length_;
  for (std::size_t i = 0; i < sequences_; ++i) {
    const std::uint64_t start = mixed(mixed(mixed(seed_) ^ step) ^ i) % starts;
    std::copy_n(text_.begin() + static_cast<std::ptrdiff_t>(start), length_ + 1,
                rows_.begin() + static_cast<std::ptrdiff_t>(i * (length_ + 1)));
  }
  return rows_;
}

}  // namespace qad
