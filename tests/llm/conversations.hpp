// SPDX-License-Identifier: Apache-2.0
/// Conversations as text, over a vocabulary of bytes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "llm/chat.hpp"
#include "llm/tools_json.hpp"
#include "llm/utf8.hpp"

/// All bytes, then control tokens, by default <|im_start|> 256 and <|im_end|> 257.
inline llm::vocabulary byte_vocabulary(std::string chat_template,
                                       const std::vector<std::string>& control = {"<|im_start|>",
                                                                                  "<|im_end|>"}) {
  llm::vocabulary result;
  for (const std::uint32_t code : llm::byte_alphabet()) {
    std::string token;
    llm::append_utf8(token, code);
    result.tokens.push_back(token);
    result.types.push_back(llm::vocabulary::normal);
  }
  for (const std::string& token : control) {
    result.tokens.push_back(token);
    result.types.push_back(llm::vocabulary::control);
  }
  result.chat_template = std::move(chat_template);
  return result;
}

/// A conversation as text.
inline std::string rendered(const llm::chat_format& format, const nlohmann::ordered_json& messages,
                            bool wanted) {
  std::vector<llm::chat_format::message> conversation;
  for (const nlohmann::ordered_json& one : messages) {
    conversation.push_back({one["role"].get<std::string>(), one["content"].get<std::string>()});
    for (const auto& call : one.value("tool_calls", nlohmann::ordered_json::array())) {
      conversation.back().calls.push_back({call["function"]["name"].get<std::string>(),
                                           llm::to_json(call["function"]["arguments"])});
    }
  }
  std::string text;
  for (const auto& part : format.render(conversation, wanted)) text += part.text;
  return text;
}

inline std::string text_of(const llm::tokenizer& words, const std::vector<llm::token_id>& tokens) {
  std::string text;
  for (const llm::token_id token : tokens) text += words.bytes_of(token);
  return text;
}
