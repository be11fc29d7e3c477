// SPDX-License-Identifier: Apache-2.0
#include "packed_batches.hpp"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "checkpoint.hpp"
#include "support/number.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

namespace er = edgerazor;

namespace {

template <class T>
std::uint64_t hash_of(std::span<const T> values, std::uint64_t seed) {
  const std::uint64_t size = values.size();
  return fingerprint(std::as_bytes(values),
                     fingerprint(std::as_bytes(std::span{&size, std::size_t{1}}), seed));
}

std::uint64_t hash_of(const text_source& source) {
  std::uint64_t hash = source.texts.size();
  for (const labelled_text& text : source.texts) {
    hash = hash_of(std::span<const token_id>{text.tokens}, hash);
    hash = hash_of(std::span<const token_id>{text.labels}, hash);
  }
  return hash;
}

/// "2.5:0123456789abcdef".
std::string identity(double weight, std::uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return support::number_text(weight) + ":" + text;
}

}  // namespace

training_data read_data(std::span<const std::string> names, const llm::tokenizer& words,
                        const conversation_rules& rules) {
  training_data data{read_sources(names, words, rules), {}, {}};
  for (const text_source& one : data.sources)
    data.identities.push_back(identity(one.weight, hash_of(one)));
  return data;
}

training_data read_stored_teacher(const std::filesystem::path& path, std::size_t vocabulary,
                                  std::size_t window) {
  training_data data;
  data.teacher.emplace(er::top_k_file::open(path));
  const er::top_k_file& file = *data.teacher;
  if (file.vocabulary() != vocabulary) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) + " has a vocabulary of " +
                       std::to_string(file.vocabulary()) + ", and the model one of " +
                       std::to_string(vocabulary));
  }
  data.sources.push_back({path.string(), 1, texts_of(file)});
  std::uint64_t hash = file.k();
  for (std::size_t i = 0; i < file.sequences(); ++i) {
    const er::top_k_sequence one = file.sequence(i);
    labelled_text& text = data.sources[0].texts[i];
    if (text.tokens.size() > window) {
      text.tokens.resize(window);
      text.labels.resize(window);
      ++data.cut;
    }
    const std::size_t entries = text.tokens.size() * file.k();
    hash = hash_of(std::span{one.ids.data, entries}, hash);
    hash = hash_of(std::span{one.log_probabilities.data, entries}, hash);
  }
  data.identities.push_back(identity(1, hash_of(data.sources[0]) ^ hash));
  return data;
}

packed_batches::packed_batches(training_data data, std::size_t vocabulary, std::size_t sequences,
                               std::size_t length, std::uint64_t seed)
    : teacher_(std::move(data.teacher)),
      draw_(std::move(data.sources), length, seed),
      sequences_(sequences),
      rows_(sequences * (length + 1)),
      labels_(sequences * length),
      positions_(sequences * length) {
  for (const text_source& one : draw_.sources()) {
    for (const labelled_text& text : one.texts) {
      for (const token_id token : text.tokens) {
        if (token >= 0 && static_cast<std::size_t>(token) < vocabulary) continue;
        throw std::invalid_argument(er::quoted(one.name, er::longest_path) + " has the token " +
                                    std::to_string(token) + ", and the model a vocabulary of " +
                                    std::to_string(vocabulary));
      }
    }
  }
  if (!teacher_) return;
  ids_.resize(labels_.size() * teacher_->k());
  log_probabilities_.resize(ids_.size());
}

packed_batches::batch packed_batches::operator()(std::uint64_t step) {
  const std::size_t length = draw_.length(), k = teacher_ ? teacher_->k() : 0;
  const er::matrix_view<std::int32_t> ids{ids_.data(), teacher_ ? labels_.size() : 0, k};
  const er::matrix_view<float> logs{log_probabilities_.data(), ids.rows, k};
  for (std::size_t i = 0; i < sequences_; ++i) {
    const window one = draw_(step * sequences_ + i);
    const std::size_t first = i * length;
    std::ranges::copy(one.tokens, rows_.begin() + static_cast<std::ptrdiff_t>(first + i));
    // A token's label is what follows it; the window's last has none, and no text's.
    for (std::size_t t = 0; t < length; ++t)
      labels_[first + t] = t + 1 < length ? one.labels[t + 1] : no_label;
    // Padding follows the last text, none of whose tokens sees it.
    std::uint32_t position = 0;
    auto next = one.segments.begin();
    for (std::size_t t = 0; t < length; ++t) {
      if (next != one.segments.end() && next->begin == t) {
        position = 0;
        ++next;
      }
      positions_[first + t] = position++;
    }
    if (teacher_) {
      read_teacher(one, *teacher_, ids.rows_between(first, first + length),
                   logs.rows_between(first, first + length));
    }
  }
  return {rows_, labels_, {positions_, ids, logs}};
}

}  // namespace qad
