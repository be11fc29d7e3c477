// SPDX-License-Identifier: Apache-2.0
#include "windows.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "mixed_hash.hpp"
#include "support/number.hpp"
#include "text.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

namespace er = edgerazor;

windows::windows(std::vector<text_source> sources, std::size_t length, std::uint64_t seed)
    : sources_(std::move(sources)),
      length_(length),
      seed_(seed),
      packed_(sources_.size()),
      tokens_(length),
      labels_(length) {
  if (length < 2)
    throw std::invalid_argument("windows of fewer than 2 tokens, in which nothing is predicted");
  if (sources_.empty()) throw std::invalid_argument("there is no source of text");
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const text_source& one = sources_[i];
    const std::string name = er::quoted(one.name, er::longest_path);
    if (!(one.weight > 0) || !std::isfinite(one.weight)) {
      throw std::invalid_argument("the weight of " + name + " is " +
                                  support::number_text(one.weight) + ", expected more than 0");
    }
    pack(one, packed_[i]);
    if (packed_[i].windows.empty())
      throw std::invalid_argument("there is nothing to learn in " + name);
  }
}

void windows::pack(const text_source& source, packed& out) const {
  std::vector<segment> parts;  // without their place
  for (std::size_t t = 0; t < source.texts.size(); ++t) {
    const labelled_text& text = source.texts[t];
    for (std::size_t at = 0; at < text.tokens.size(); at += length_) {
      const std::size_t size = std::min(length_, text.tokens.size() - at);
      // The first token of a part has none before it.
      const bool learned = std::any_of(text.labels.begin() + static_cast<std::ptrdiff_t>(at + 1),
                                       text.labels.begin() + static_cast<std::ptrdiff_t>(at + size),
                                       [](token_id label) { return label != no_label; });
      if (learned) parts.push_back({0, size, t, at});
    }
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const segment& a, const segment& b) { return a.end > b.end; });
  std::multimap<std::size_t, std::size_t> room;  // tokens that are free, window
  for (const segment& part : parts) {
    const std::size_t size = part.end;
    auto best = room.lower_bound(size);
    std::size_t index = out.windows.size(), left = length_;
    if (best != room.end()) {
      std::tie(left, index) = *best;
      room.erase(best);
    } else {
      out.windows.emplace_back();
    }
    const std::size_t begin = length_ - left;
    out.windows[index].push_back({begin, begin + size, part.text, part.offset});
    if (left > size) room.emplace(left - size, index);
  }
}

std::size_t windows::advance() {
  // 53 bits of a hash of (seed, n): a number in [0, 1).
  const double part = static_cast<double>(mixed(mixed(seed_) ^ next_) >> 11) * 0x1p-53;
  double sum = 0;
  for (const text_source& one : sources_) sum += one.weight;
  std::size_t source = 0;
  for (double left = part * sum; source + 1 < sources_.size(); ++source) {
    left -= sources_[source].weight;
    if (left < 0) break;
  }
  packed& from = packed_[source];
  const std::uint64_t count = from.windows.size(), place = from.drawn % count;
  if (place == 0) {  // a new order: Fisher and Yates, from (seed, source, round)
    const std::uint64_t key = mixed(mixed(mixed(seed_ + 1) ^ source) ^ from.drawn / count);
    from.order.resize(from.windows.size());
    std::iota(from.order.begin(), from.order.end(), std::size_t{0});
    for (std::uint64_t i = count; i > 1; --i)
      std::swap(from.order[i - 1], from.order[mixed(key ^ i) % i]);
  }
  ++from.drawn;
  ++next_;
  index_ = from.order[place];
  return source;
}

window windows::operator()(std::uint64_t n) {
  if (n + 1 < next_ || next_ == 0) {
    next_ = 0;
    for (packed& one : packed_) one.drawn = 0;
  }
  while (next_ <= n) source_ = advance();
  const std::vector<segment>& segments = packed_[source_].windows[index_];
  std::fill(tokens_.begin(), tokens_.end(), 0);
  std::fill(labels_.begin(), labels_.end(), no_label);
  for (const segment& one : segments) {
    const labelled_text& text = sources_[source_].texts[one.text];
    const auto from = static_cast<std::ptrdiff_t>(one.offset),
               size = static_cast<std::ptrdiff_t>(one.end - one.begin),
               to = static_cast<std::ptrdiff_t>(one.begin);
    std::copy_n(text.tokens.begin() + from, size, tokens_.begin() + to);
    std::copy_n(text.labels.begin() + from, size, labels_.begin() + to);
    labels_[one.begin] = no_label;  // there is nothing from which to predict it
  }
  return {tokens_, labels_, segments, source_};
}

windows::account windows::account_of(std::size_t source) const {
  account sums;
  sums.windows = packed_[source].windows.size();
  for (const std::vector<segment>& one : packed_[source].windows) {
    for (const segment& part : one) {
      const std::vector<token_id>& labels = sources_[source].texts[part.text].labels;
      sums.tokens += part.end - part.begin;
      for (std::size_t i = part.begin + 1; i < part.end; ++i)
        sums.learned += labels[part.offset + i - part.begin] != no_label ? 1u : 0u;
    }
  }
  return sums;
}

std::vector<labelled_text> texts_of(const er::top_k_file& file) {
  std::vector<labelled_text> texts;
  for (std::size_t i = 0; i < file.sequences(); ++i) {
    const er::top_k_sequence one = file.sequence(i);
    texts.push_back(
        {{one.tokens.begin(), one.tokens.end()}, {one.labels.begin(), one.labels.end()}});
  }
  return texts;
}

void read_teacher(const window& from, const er::top_k_file& file, er::matrix_view<std::int32_t> ids,
                  er::matrix_view<float> log_probabilities) {
  const std::size_t rows = from.tokens.size();
  if (ids.rows != rows || log_probabilities.rows != rows || ids.cols != file.k() ||
      log_probabilities.cols != file.k()) {
    throw std::invalid_argument("a window's teacher is " + std::to_string(rows) + " x " +
                                std::to_string(file.k()) + " ids and log-probabilities");
  }
  for (std::size_t i = 0; i < rows; ++i) {
    std::ranges::fill(ids.row(i), -1);
    std::ranges::fill(log_probabilities.row(i), 0.0f);
  }
  for (const segment& part : from.segments) {
    const er::top_k_sequence one = file.sequence(part.text);
    const std::size_t size = part.end - part.begin;
    if (size > one.tokens.size() || part.offset > one.tokens.size() - size)
      throw std::invalid_argument("a window's text is not the teacher's");
    for (std::size_t i = 0; i < size; ++i)
      std::ranges::copy(one.ids.row(part.offset + i), ids.row(part.begin + i).begin());
    one.decode(part.offset, log_probabilities.rows_between(part.begin, part.end));
  }
}

source_name parse_source(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos) return {text, 1};
  source_name result{text.substr(0, equals), 1};
  if (result.path.empty() || !support::read_number(text.substr(equals + 1),
                                                   support::positive_real<double>, result.weight)) {
    throw std::invalid_argument("expected FILE or FILE=WEIGHT with a weight of more than 0, got " +
                                er::quoted(text, er::longest_path));
  }
  return result;
}

text_source read_source(const source_name& name, const llm::tokenizer& words,
                        const llm::chat_format* format, const conversation_rules& rules) {
  text_source result{name.path, name.weight, {}};
  const std::string extension = std::filesystem::path(name.path).extension().string();
  if (extension == ".topk") {
    const er::top_k_file file = er::top_k_file::open(name.path);
    if (file.vocabulary() < words.size()) {
      throw er::io_error(er::quoted(name.path, er::longest_path) + " has a vocabulary of " +
                         std::to_string(file.vocabulary()) + ", and the model one of " +
                         std::to_string(words.size()));
    }
    result.texts = texts_of(file);
  } else if (extension == ".jsonl") {
    if (format == nullptr) throw std::invalid_argument("conversations need a chat template");
    conversation_file file(name.path);
    while (const auto one = file.next()) {
      try {
        result.texts.push_back(encode_conversation(*one, *format, words, rules));
      } catch (const std::invalid_argument& error) {
        file.refuse(error.what());
      }
    }
  } else {
    result.texts = encode_text(read_text({name.path}), words, rules.longest);
  }
  return result;
}

std::vector<text_source> read_sources(std::span<const std::string> names,
                                      const llm::tokenizer& words,
                                      const conversation_rules& rules) {
  std::vector<source_name> parsed;
  for (const std::string& text : names) parsed.push_back(parse_source(text));
  std::optional<llm::chat_format> format;
  if (std::any_of(parsed.begin(), parsed.end(),
                  [](const source_name& one) { return one.path.ends_with(".jsonl"); }))
    format.emplace(layout_of(words, true));
  std::vector<text_source> sources;
  for (const source_name& one : parsed)
    sources.push_back(read_source(one, words, format ? &*format : nullptr, rules));
  return sources;
}

}  // namespace qad
