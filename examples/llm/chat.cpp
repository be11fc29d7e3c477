// SPDX-License-Identifier: Apache-2.0
#include "chat.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "tools_json.hpp"
#include <edgerazor/core/printable.hpp>

namespace llm {

namespace {

using enum tokenizer::markup;

bool is_inst(const chat_template& says) { return says.layout->start.empty(); }

constexpr std::size_t npos = std::string_view::npos;

/// Without line feeds at its ends.
std::string_view without_feeds(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

const char* const unread_tools =
    "the model's chat template prints tools in a way that this program does not follow";

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
  own_system_ = !text.empty();
  if (says_.tools && text.empty()) says_.tools->otherwise.clear();
  says_.system = std::move(text);
}

void chat_format::turn_thoughts_off() {
  if (says_.thoughts.off.empty())
    throw std::invalid_argument("the model's chat template has no switch for thoughts");
  thoughts_off_ = true;
}

void chat_format::set_tools(std::vector<std::string> tools) {
  if (says_.unread_tools) throw std::invalid_argument(unread_tools);
  if (!says_.tools) throw std::invalid_argument("the model's chat template takes no tools");
  tools_ = std::move(tools);
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

void chat_format::append_message(pieces& out, std::string_view role, const pieces& text) const {
  const chat_layout& layout = *says_.layout;
  const bool answers = role == "assistant";
  std::string begin = says_.question_begin, end = says_.question_end;
  if (is_inst(says_) && answers) {
    begin = says_.answer_begin;
    end = says_.answer_end + text_of(end_token());
  } else if (!is_inst(says_)) {
    begin = std::string{layout.start};
    (begin += answers ? layout.assistant : role) += layout.after_role;
    end = std::string{layout.end} + std::string{layout.after_end};
  }
  out.push_back({std::move(begin), control_tokens});
  out.insert(out.end(), text.begin(), text.end());
  out.push_back({std::move(end), control_tokens});
}

/// The user's message, which `system` begins where it is the first and the layout says so.
void chat_format::append_question(pieces& out, std::string_view text, bool first,
                                  const std::string& system) const {
  if (!first && says_.bos_each_question)
    out.push_back({text_of(words_->data().bos), control_tokens});
  pieces all = first ? system_of_question(system) : pieces{};
  if (first && !tools_.empty() && says_.tools->in_question) append_tools(all);
  all.push_back({trimmed(text), plain});
  append_message(out, "user", all);
}

/// The tools that are offered, with the literals around them.
void chat_format::append_tools(pieces& out) const {
  const tool_parts& tools = *says_.tools;
  out.push_back({tools.begin, control_tokens});
  for (const std::string& tool : tools_) {
    out.push_back({tools.each_begin, control_tokens});
    out.push_back({indented(tool, tools.indent), plain});
    out.push_back({tools.each_end, control_tokens});
  }
  out.push_back({tools.finish, control_tokens});
}

/// What an answer says; `latest`: it stands after the last question, `last`: after all messages.
chat_format::pieces chat_format::text_of_answer(const message& one, bool latest, bool last) const {
  const thought_parts& marks = says_.thoughts;
  std::string_view text = one.text, thought;
  if (const std::size_t end = text.rfind(marks.end); !marks.end.empty() && end != npos) {
    thought = text.substr(0, text.find(marks.end));
    if (const std::size_t begin = thought.rfind(marks.begin); begin != npos)
      thought.remove_prefix(begin + marks.begin.size());
    thought = without_feeds(thought);
    text.remove_prefix(end + marks.end.size());
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  }
  pieces out;
  const bool calls_alone = says_.tools && says_.tools->in_question && !one.calls.empty();
  if (calls_alone && one.calls.size() > 1)
    throw std::invalid_argument("the model's chat template takes one call of a tool at a time");
  if (!marks.open.empty() && latest && (last || !thought.empty())) {
    out = {
        {marks.open, control_tokens}, {std::string{thought}, plain}, {marks.close, control_tokens}};
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  }
  if (!calls_alone) out.push_back({trimmed(text), plain});
  if (!says_.tools) return out;
  const tool_parts& tools = *says_.tools;
  bool separate = !calls_alone && !text.empty();
  for (const tool_call& call : one.calls) {
    out.push_back({(std::exchange(separate, true) ? tools.separator : "") + tools.call_begin,
                   control_tokens});
    out.push_back({call.name, plain});
    out.push_back({tools.call_middle, control_tokens});
    out.push_back({call.arguments, plain});
    out.push_back({tools.call_end, control_tokens});
  }
  return out;
}

/// Message i, what a tool has answered: results that stand in a row are one message.
void chat_format::append_result(pieces& out, std::span<const message> conversation,
                                std::size_t i) const {
  const tool_parts& tools = *says_.tools;
  const auto is_result = [&](std::size_t k) {
    return k < conversation.size() && conversation[k].role == "tool";
  };
  if (tools.in_question) {
    const std::string& text = conversation[i].text;
    std::string shown = tools.result_trims ? trimmed(text) : text;
    if (tools.result_json) shown = json_string(shown);
    return append_message(out, tools.result_role,
                          {{tools.result_begin, control_tokens},
                           {std::move(shown), plain},
                           {tools.result_end, control_tokens}});
  }
  const bool begins = i == 0 || !is_result(i - 1);
  out.push_back({(begins ? tools.result_open : "") + tools.result_begin, control_tokens});
  out.push_back({trimmed(conversation[i].text), plain});
  std::string end = tools.result_end;
  if (!is_result(i + 1)) (end += says_.layout->end) += says_.layout->after_end;
  out.push_back({std::move(end), control_tokens});
}

/// A system message, where the layout has no role for it: what begins the first question.
chat_format::pieces chat_format::system_of_question(const std::string& text) const {
  if (says_.layout->system_role || text.empty()) return {};
  if (!is_inst(says_)) return {{text + "\n\n", plain}};
  return {{says_.system_begin, control_tokens}, {text, plain}, {says_.system_end, control_tokens}};
}

/// `own`: the user's, or of the conversation; else the template's.
void chat_format::append_system(pieces& out, const std::string& text, bool own) const {
  const bool in_question = says_.tools && says_.tools->in_question;
  if (!tools_.empty() && !in_question) {
    const tool_parts& tools = *says_.tools;
    pieces all;
    if (own) all.push_back({trimmed(text), plain});
    all.push_back({own ? tools.own_end : tools.otherwise, control_tokens});
    append_tools(all);
    return append_message(out, "system", all);
  }
  if (!says_.layout->system_role || (text.empty() && !says_.opens)) return;
  append_message(out, "system",
                 {{tools_.empty() ? says_.preamble : says_.tools->preamble, control_tokens},
                  {trimmed(text), plain}});
}

void chat_format::append_header(pieces& out) const {
  const chat_layout& layout = *says_.layout;
  if (is_inst(says_)) return;
  std::string header{layout.start};
  (header += layout.assistant) += layout.after_role;
  if (thoughts_off_) header += says_.thoughts.off;
  out.push_back({std::move(header), control_tokens});
}

std::vector<token_id> chat_format::opening() const {
  pieces text;
  append_system(text, says_.system, own_system_);
  std::vector<token_id> tokens;
  const auto bos = words_->data().bos;
  if (bos && (words_->data().add_bos || says_.prints_bos)) tokens.push_back(*bos);
  const std::vector<token_id> rest = words_->encode(text, false);
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  return tokens;
}

std::vector<token_id> chat_format::question(std::string_view text, bool first) const {
  pieces parts;
  append_question(parts, text, first, says_.system);
  append_header(parts);
  return words_->encode(parts, false);
}

bool chat_format::forgets(std::string_view answer) const {
  const std::string& end = says_.thoughts.end;
  return !end.empty() && (thoughts_off_ || answer.find(end) != npos);
}

std::vector<token_id> chat_format::past(std::string_view question, std::string_view answer,
                                        bool first) const {
  pieces parts;
  append_question(parts, question, first, says_.system);
  append_message(parts, "assistant",
                 text_of_answer({"assistant", std::string{answer}}, false, false));
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
  std::vector<std::size_t> ignored;
  return render(conversation, wanted, ignored);
}

chat_format::pieces chat_format::render(std::span<const message> conversation, bool wanted,
                                        std::vector<std::size_t>& begins) const {
  begins.clear();
  pieces out;
  std::string system = says_.system;
  const bool given = !conversation.empty() && conversation[0].role == "system";
  if (given) {
    if (!says_.takes_system)
      throw std::invalid_argument("the model's chat template takes no system message");
    system = trimmed(conversation[0].text);
    conversation = conversation.subspan(1);
    begins.push_back(0);
  }
  append_system(out, system, given || own_system_);
  const bool asks = !conversation.empty() && conversation[0].role == "user";
  if (!tools_.empty() && says_.tools->in_question && !asks)
    throw std::invalid_argument("the model's chat template offers tools in the first question");
  std::size_t last_question = conversation.size();  // none: no answer stands after it
  for (std::size_t i = 0; i < conversation.size(); ++i) {
    if (conversation[i].role == "user") last_question = i;
  }
  bool first = true;
  for (std::size_t i = 0; i < conversation.size(); ++i) {
    const message& one = conversation[i];
    begins.push_back(out.size());
    if (says_.unread_tools && (one.role == "tool" || !one.calls.empty()))
      throw std::invalid_argument(unread_tools);
    if (says_.alternates && (one.role == "user") != (i % 2 == 0)) {
      throw std::invalid_argument(
          "the model's chat template takes questions and answers in turn alone");
    }
    if (one.role == "user") {
      append_question(out, one.text, std::exchange(first, false), system);
    } else if (one.role == "assistant") {
      append_message(out, one.role,
                     text_of_answer(one, i > last_question, i + 1 == conversation.size()));
    } else if (one.role == "tool" && says_.tools) {
      append_result(out, conversation, i);
    } else {
      append_message(out, one.role, {{trimmed(one.text), plain}});
    }
  }
  if (wanted) append_header(out);
  return out;
}

}  // namespace llm
