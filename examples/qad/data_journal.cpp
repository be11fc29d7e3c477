// SPDX-License-Identifier: Apache-2.0
#include "data_journal.hpp"

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "llm/tools_json.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/mapped_file.hpp>
#include <edgerazor/io/top_k_file.hpp>

namespace qad {

namespace er = edgerazor;

namespace {

std::string name_of(const std::filesystem::path& path) {
  return er::quoted(path.string(), er::longest_path);
}

[[noreturn]] void refuse(const std::filesystem::path& path, int code) {
  throw er::io_error("can't write " + name_of(path) + ": " + std::generic_category().message(code));
}

std::filesystem::path with(const std::filesystem::path& path, const char* ending) {
  return path.string() + ending;
}

}  // namespace

std::filesystem::path data_journal::top_k_path(const std::filesystem::path& output) {
  std::filesystem::path path = output;
  return path.replace_extension(".topk");
}

data_journal::data_journal(std::filesystem::path output, const std::string& settings,
                           std::size_t top_k, std::size_t vocabulary)
    : output_(std::move(output)),
      partial_(with(output_, ".partial")),
      top_k_partial_(with(top_k_path(output_), ".partial")),
      top_k_(top_k),
      vocabulary_(vocabulary) {
  const bool resumes = std::filesystem::exists(partial_);
  if (!resumes && std::filesystem::exists(output_))
    throw er::io_error(name_of(output_) + " is there already");
  const std::size_t end = resumes ? read_lines(settings) : 0;
  if (resumes) {
    std::error_code code;
    std::filesystem::resize_file(partial_, end, code);
    if (code) refuse(partial_, code.value());
  }
  const bool is_new = end == 0;
  if (top_k_ > 0 && is_new) {
    rows_.emplace(top_k_partial_, top_k_, vocabulary_);
  } else if (top_k_ > 0) {
    rows_.emplace(er::top_k_writer::resume(top_k_partial_, top_k_, vocabulary_, places_.size()));
  }
  stream_.reset(std::fopen(partial_.string().c_str(), is_new ? "wb" : "ab"));
  if (stream_ == nullptr) refuse(partial_, errno);
  if (is_new) write_line("{\"settings\": " + llm::json_string(settings) + "}");
}

std::size_t data_journal::read_lines(const std::string& settings) {
  const er::mapped_file file = er::mapped_file::open(partial_);
  const std::string_view text{reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size()};
  std::size_t at = 0;
  for (std::size_t number = 1;; ++number) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) return at;  // the rest was being written
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    const auto refuse_line = [&](const std::string& what) {
      throw er::io_error(name_of(partial_) + ", line " + std::to_string(number) + ": " + what);
    };
    const nlohmann::json document = nlohmann::json::parse(line, nullptr, false);
    const char* const key = number == 1 ? "settings" : "line";
    if (!document.is_object() || !document.contains(key))
      refuse_line("expected a JSON object with \"" + std::string{key} + "\"");
    if (number == 1) {
      if (!document[key].is_string() || document[key].get<std::string>() != settings) {
        refuse_line("it was begun with other settings (" +
                    er::printable(document[key].dump(), 500) + "), not \"" +
                    er::printable(settings, 500) + "\"; remove it, or name another output");
      }
      continue;
    }
    if (!document[key].is_number_unsigned()) refuse_line("expected a number as \"line\"");
    place one{places_.size(), {}};
    try {
      if (document.value("messages", nlohmann::json{1}) != nlohmann::json::array())
        one.line = conversation_line(parse_conversation(line));
    } catch (const std::invalid_argument& error) {
      refuse_line(error.what());
    }
    if (!places_.emplace(document[key].get<std::size_t>(), std::move(one)).second)
      refuse_line("this line of the input is there twice");
  }
}

void data_journal::write_line(const std::string& line) {
  const std::string whole = line + '\n';
  if (std::fwrite(whole.data(), 1, whole.size(), stream_.get()) != whole.size() ||
      std::fflush(stream_.get()) != 0)
    refuse(partial_, errno);
}

void data_journal::add(const answered_conversation& one) {
  place here{places_.size(), one.messages.empty() ? "" : conversation_line(one.messages)};
  // The sequence first: one without a line is forgotten, a line without one would be an error.
  if (rows_) {
    const std::size_t n = one.text.tokens.size();
    rows_->add(one.text.tokens, one.text.labels, {one.rows.ids.data(), n, top_k_},
               {one.rows.log_probabilities.data(), n, top_k_});
  }
  const std::string messages =
      here.line.empty() ? "\"messages\": []}" : here.line.substr(1);  // without its brace
  write_line("{\"line\": " + std::to_string(one.number) + ", " + messages);
  places_.emplace(one.number, std::move(here));
}

void data_journal::finish_top_k() {
  const std::filesystem::path ordered = with(top_k_path(output_), ".ordered.partial");
  {
    const er::top_k_file file = er::top_k_file::open(top_k_partial_);
    er::top_k_writer writer(ordered, top_k_, vocabulary_);
    std::vector<float> logs;
    for (const auto& item : places_) {
      if (item.second.line.empty()) continue;
      const er::top_k_sequence one = file.sequence(item.second.sequence);
      logs.resize(one.tokens.size() * top_k_);
      const er::matrix_view<float> numbers{logs.data(), one.tokens.size(), top_k_};
      one.decode(0, numbers);
      writer.add(one.tokens, one.labels, one.ids, numbers);
    }
  }
  std::error_code code;
  std::filesystem::rename(ordered, top_k_path(output_), code);
  if (code) refuse(top_k_path(output_), code.value());
}

std::size_t data_journal::finish() {
  if (rows_) finish_top_k();
  er::atomic_file file(output_);
  std::size_t count = 0;
  for (const auto& item : places_) {
    if (item.second.line.empty()) continue;
    const std::string line = item.second.line + '\n';
    file.write(std::as_bytes(std::span{line}));
    ++count;
  }
  file.commit();
  stream_.reset();
  rows_.reset();
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);
  if (top_k_ > 0) std::filesystem::remove(top_k_partial_, ignored);
  return count;
}

}  // namespace qad
