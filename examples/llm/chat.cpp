// SPDX-License-Identifier: Apache-2.0
#include "chat.hpp"

#include <stdexcept>
#include <utility>

#include <edgerazor/core/printable.hpp>

namespace llm {

namespace {

using enum tokenizer::markup;

bool is_inst(const chat_template& says) { return says.layout->start.empty(); }

}  // namespace

std::string chat_format::missing_token() const {
  std::string_view header = says_.layout->after_role;
  header = header.starts_with('<') ? header.substr(0, header.find('\n')) : "";
  for (const std::string_view name : {says_.layout->start, header, says_.layout->end}) {
    if (name.empty()) continue;
    const auto id = words_->find(name);
    if (!id || !words_->is_control(*id)) return std::string{name};
  }
  return is_inst(says_) && !words_->data().eos ? "that ends a text" : "";
}

std::optional<chat_format> chat_format::detect(const tokenizer& words, std::string& why) {
  const std::string& jinja = words.data().chat_template;
  const bool none = jinja.empty();
  chat_format result(words,
                     none ? plain_template(*find_layout("chatml")) : read_chat_template(jinja));
  why = result.says_.refusal;
  if (why.empty()) {
    const std::string missing = result.missing_token();
    if (missing.empty()) return result;
    if (!none) why = "the vocabulary has no control token " + missing;
  }
  return std::nullopt;
}

chat_format chat_format::named(const tokenizer& words, std::string_view name) {
  const chat_layout* const layout = find_layout(name);
  if (layout == nullptr) {
    throw std::invalid_argument("no chat template is called " + edgerazor::quoted(name) +
                                "; there are " + layout_names());
  }
  chat_format result(words, plain_template(*layout));
  if (const std::string missing = result.missing_token(); !missing.empty()) {
    throw std::invalid_argument("the model's vocabulary has no control token " + missing +
                                ", which " + std::string{name} + " needs");
  }
  return result;
}

void chat_format::set_system_message(std::string text) {
  if (!says_.takes_system && !text.empty())
    throw std::invalid_argument("the model's chat template takes no system message");
  says_.system = std::move(text);
}

std::string chat_format::trimmed(std::string_view text) const {
  constexpr std::string_view spaces = " \t\n\r\v\f";
  if (!says_.trims) return std::string{text};
  const std::size_t begin = text.find_first_not_of(spaces);
  if (begin == std::string_view::npos) return {};
  return std::string{text.substr(begin, text.find_last_not_of(spaces) - begin + 1)};
}

std::string chat_format::text_of(std::optional<token_id> token) const {
  return token ? words_->data().tokens[static_cast<std::size_t>(*token)] : std::string{};
}

std::optional<token_id> chat_format::end_token() const {
  return is_inst(says_) ? words_->data().eos : words_->find(says_.layout->end);
}

/// A message whose text `beginning` stands in front of.
void chat_format::append_message(pieces& out, std::string_view role, std::string_view text,
                                 const pieces& beginning) const {
  const chat_layout& layout = *says_.layout;
  const bool answers = role == "assistant";
  if (is_inst(says_) && answers) {
    out.push_back({says_.answer_begin, control_tokens});
    out.push_back({trimmed(text), plain});
    out.push_back({says_.answer_end + text_of(end_token()), control_tokens});
    return;
  }
  std::string begin = says_.question_begin, end = says_.question_end;
  if (!is_inst(says_)) {
    begin = std::string{layout.start};
    (begin += answers ? layout.assistant : role) += layout.after_role;
    end = std::string{layout.end} + std::string{layout.after_end};
  }
  out.push_back({std::move(begin), control_tokens});
  out.insert(out.end(), beginning.begin(), beginning.end());
  out.push_back({trimmed(text), plain});
  out.push_back({std::move(end), control_tokens});
}

/// A system message, where the layout has no role for it: what begins the first question.
chat_format::pieces chat_format::system_of_question(const std::string& text) const {
  if (says_.layout->system_role || text.empty()) return {};
  if (!is_inst(says_)) return {{text + "\n\n", plain}};
  return {{says_.system_begin, control_tokens}, {text, plain}, {says_.system_end, control_tokens}};
}

void chat_format::append_system(pieces& out, const std::string& text) const {
  if (!says_.layout->system_role || (text.empty() && !says_.opens)) return;
  append_message(out, "system", text, {{says_.preamble, control_tokens}});
}

void chat_format::append_header(pieces& out) const {
  const chat_layout& layout = *says_.layout;
  if (is_inst(says_)) return;
  std::string header{layout.start};
  (header += layout.assistant) += layout.after_role;
  out.push_back({std::move(header), control_tokens});
}

std::vector<token_id> chat_format::opening() const {
  pieces text;
  append_system(text, says_.system);
  std::vector<token_id> tokens;
  const auto bos = words_->data().bos;
  if (bos && (words_->data().add_bos || says_.prints_bos)) tokens.push_back(*bos);
  const std::vector<token_id> rest = words_->encode(text, false);
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  return tokens;
}

std::vector<token_id> chat_format::question(std::string_view text, bool first) const {
  pieces parts;
  if (!first && says_.bos_each_question)
    parts.push_back({text_of(words_->data().bos), control_tokens});
  append_message(parts, "user", text, first ? system_of_question(says_.system) : pieces{});
  append_header(parts);
  return words_->encode(parts, false);
}

std::vector<token_id> chat_format::end_of_answer(token_id last) const {
  std::vector<token_id> tokens;
  if (const auto end = end_token(); end && last != *end) tokens.push_back(*end);
  const std::vector<token_id> rest = words_->encode(says_.layout->after_end, plain, false);
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  return tokens;
}

chat_format::pieces chat_format::render(std::span<const message> conversation, bool wanted) const {
  pieces out;
  std::string system = says_.system;
  if (!conversation.empty() && conversation[0].role == "system") {
    if (!says_.takes_system)
      throw std::invalid_argument("the model's chat template takes no system message");
    system = trimmed(conversation[0].text);
    conversation = conversation.subspan(1);
  }
  append_system(out, system);
  bool first = true;
  for (const message& one : conversation) {
    const bool asks = one.role == "user";
    if (asks && !first && says_.bos_each_question)
      out.push_back({text_of(words_->data().bos), control_tokens});
    append_message(out, one.role, one.text, asks && first ? system_of_question(system) : pieces{});
    first = first && !asks;
  }
  if (wanted) append_header(out);
  return out;
}

}  // namespace llm
