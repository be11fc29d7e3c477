// SPDX-License-Identifier: Apache-2.0
#include "conversations.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "llm/tools_json.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

namespace er = edgerazor;
using chat_message = llm::chat_format::message;

namespace {

[[noreturn]] void expected(const std::string& what) {
  throw std::invalid_argument("expected " + what);
}

chat_message parse_message(const nlohmann::json& one, std::size_t index) {
  const std::string which = "message " + std::to_string(index + 1);
  const auto text = [&](const char* key) -> const std::string& {
    const auto at = one.find(key);
    if (at == one.end() || !at->is_string()) expected(which + " to have a string \"" + key + "\"");
    return at->get_ref<const std::string&>();
  };
  if (!one.is_object()) expected(which + " to be an object with \"role\" and \"content\"");
  const std::string& role = text("role");
  if (role != "system" && role != "user" && role != "assistant") {
    expected("the role of " + which + " to be system, user or assistant, got " + er::quoted(role));
  }
  if (role == "system" && index != 0)
    expected("a message of the system as the first alone, got it as " + which);
  if (const auto calls = one.find("tool_calls");
      calls != one.end() && !calls->is_null() && !calls->empty())
    expected(which + " to call no tools");
  return {role, text("content")};
}

/// The messages with the system message that the rules put in front.
conversation opened(std::span<const chat_message> messages, const llm::chat_format& format,
                    const conversation_rules& rules) {
  conversation all;
  const bool given = !messages.empty() && messages[0].role == "system";
  if (!given && !rules.system.empty() && format.layout().takes_system)
    all.push_back({"system", rules.system});
  all.insert(all.end(), messages.begin(), messages.end());
  return all;
}

std::vector<token_id> first_tokens(const llm::chat_format& format, const llm::tokenizer& words) {
  const auto bos = words.data().bos;
  if (bos && (words.data().add_bos || format.layout().prints_bos)) return {*bos};
  return {};
}

}  // namespace

conversation parse_conversation(std::string_view line) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(line);
  } catch (const nlohmann::json::parse_error& error) {
    expected("a JSON object with \"messages\", got what is no JSON at byte " +
             std::to_string(error.byte));
  }
  const auto messages = document.is_object() ? document.find("messages") : document.end();
  if (messages == document.end() || !messages->is_array() || messages->empty())
    expected("a JSON object with \"messages\", an array of one message or more");
  conversation result;
  for (const nlohmann::json& one : *messages) result.push_back(parse_message(one, result.size()));
  return result;
}

std::string conversation_line(std::span<const chat_message> messages) {
  std::string line = "{\"messages\": [";
  for (const chat_message& one : messages) {
    if (&one != messages.data()) line += ", ";
    line += "{\"role\": " + llm::json_string(one.role) +
            ", \"content\": " + llm::json_string(one.text) + "}";
  }
  return line + "]}";
}

conversation_file::conversation_file(const std::filesystem::path& path)
    : name_(er::quoted(path.string(), er::longest_path)), file_(er::mapped_file::open(path)) {}

std::optional<std::string_view> conversation_file::next_line() {
  const std::string_view text{reinterpret_cast<const char*>(file_.bytes().data()),
                              file_.bytes().size()};
  while (at_ < text.size()) {
    const std::size_t end = std::min(text.find('\n', at_), text.size());
    std::string_view line = text.substr(at_, end - at_);
    at_ = end + 1;
    ++line_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") != std::string_view::npos) return line;
  }
  return std::nullopt;
}

std::optional<conversation> conversation_file::next() {
  const auto line = next_line();
  if (!line) return std::nullopt;
  try {
    return parse_conversation(*line);
  } catch (const std::invalid_argument& error) {
    refuse(error.what());
  }
}

void conversation_file::refuse(const std::string& sentence) const {
  throw er::io_error(name_ + ", line " + std::to_string(line_) + ": " + sentence);
}

std::size_t labelled_text::learned() const noexcept {
  if (labels.empty()) return 0;
  return labels.size() - 1 -
         static_cast<std::size_t>(std::count(labels.begin() + 1, labels.end(), no_label));
}

labelled_text encode_conversation(std::span<const chat_message> messages,
                                  const llm::chat_format& format, const llm::tokenizer& words,
                                  const conversation_rules& rules) {
  const conversation all = opened(messages, format, rules);
  std::vector<std::size_t> begins;
  const llm::chat_format::pieces pieces = format.render(all, false, begins);
  begins.push_back(pieces.size());

  labelled_text result;
  result.tokens = first_tokens(format, words);
  result.labels.assign(result.tokens.size(), no_label);
  const auto append = [&](std::size_t begin, std::size_t end, bool learned) {
    const std::vector<token_id> tokens =
        words.encode(std::span{pieces}.subspan(begin, end - begin), false);
    result.tokens.insert(result.tokens.end(), tokens.begin(), tokens.end());
    if (learned) {
      result.labels.insert(result.labels.end(), tokens.begin(), tokens.end());
    } else {
      result.labels.resize(result.tokens.size(), no_label);
    }
  };
  std::size_t at = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].role != "assistant") continue;
    const std::size_t text = begins[i] + 1;
    append(at, text, false);
    append(text, begins[i + 1], true);
    at = begins[i + 1];
  }
  append(at, pieces.size(), false);

  const std::optional<token_id> end = rules.ends ? words.data().eos : std::nullopt;
  const std::size_t room = rules.longest - std::min<std::size_t>(rules.longest, end ? 1 : 0);
  if (result.tokens.size() > room) {
    result.tokens.resize(room);
    result.labels.resize(room);
  }
  if (end) {
    result.tokens.push_back(*end);
    result.labels.push_back(*end);
  }
  return result;
}

std::vector<token_id> encode_history(std::span<const chat_message> messages,
                                     const llm::chat_format& format, const llm::tokenizer& words,
                                     const conversation_rules& rules) {
  const conversation all = opened(messages, format, rules);
  std::vector<std::size_t> begins;
  const llm::chat_format::pieces pieces = format.render(all, true, begins);
  std::vector<token_id> result = first_tokens(format, words);
  const auto append = [&](std::size_t begin, std::size_t end) {
    const std::vector<token_id> tokens =
        words.encode(std::span{pieces}.subspan(begin, end - begin), false);
    result.insert(result.end(), tokens.begin(), tokens.end());
  };
  // The cuts of encode_conversation: what a model is asked is what it has learned from.
  std::size_t at = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].role != "assistant") continue;
    append(at, begins[i] + 1);
    at = i + 1 < all.size() ? begins[i + 1] : pieces.size();
    append(begins[i] + 1, at);
  }
  append(at, pieces.size());
  return result;
}

std::vector<labelled_text> encode_text(std::string_view text, const llm::tokenizer& words,
                                       std::size_t longest) {
  if (longest == 0) throw std::invalid_argument("a text is cut into pieces of no tokens");
  const std::vector<token_id> tokens = words.encode(text, llm::tokenizer::markup::plain);
  std::vector<labelled_text> result;
  for (std::size_t at = 0; at < tokens.size(); at += longest) {
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(at);
    const auto size = static_cast<std::ptrdiff_t>(std::min(longest, tokens.size() - at));
    result.push_back({{begin, begin + size}, {begin, begin + size}});
  }
  return result;
}

llm::chat_format layout_of(const llm::tokenizer& words, bool thoughts) {
  std::string why;
  std::optional<llm::chat_format> format = llm::chat_format::detect(words, why);
  if (!format) {
    throw std::invalid_argument(
        why.empty() ? "the model has no chat template, and its vocabulary none of ChatML's tokens"
                    : "the model's chat template is not understood: " + why);
  }
  if (!thoughts && !format->layout().thoughts.off.empty()) format->turn_thoughts_off();
  return *std::move(format);
}

}  // namespace qad
