// SPDX-License-Identifier: Apache-2.0
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "chat_template.hpp"
#include "template_outputs.hpp"
#include "template_parts.hpp"
#include "template_scene.hpp"

namespace llm {

namespace {

/// A row of printed parts, taken from the front. What is not there makes it fail, and stay so.
class row {
 public:
  explicit row(std::vector<printed_part> parts) : parts_(std::move(parts)) {}

  /// The literal that stands next, as far as it has not been taken.
  [[nodiscard]] std::string_view rest(bool each = false) const {
    const bool there = at_ < parts_.size() && parts_[at_].path.empty() && parts_[at_].each == each;
    return there ? std::string_view{parts_[at_].literal} : std::string_view{};
  }
  [[nodiscard]] bool next(std::string_view path) const {
    return at_ < parts_.size() && parts_[at_].path == path;
  }
  [[nodiscard]] bool ended() const { return at_ == parts_.size(); }

  std::string literal(bool each = false) {
    std::string text{rest(each)};
    if (!text.empty()) ++at_;
    return text;
  }
  /// The literal up to `marker`, which must be in it and is passed.
  std::string up_to(std::string_view marker) {
    const std::size_t end = rest().find(marker);
    if (end == npos) {
      failed = true;
      return {};
    }
    std::string text{rest().substr(0, end)};
    drop(end + marker.size());
    return text;
  }
  void pass(std::string_view text) {
    if (rest().starts_with(text)) {
      drop(text.size());
    } else {
      failed = true;
    }
  }
  printed_part part(std::string_view path) {
    if (next(path)) return parts_[at_++];
    failed = true;
    return {};
  }

  bool failed = false;

 private:
  static constexpr std::size_t npos = std::string_view::npos;
  void drop(std::size_t letters) {
    if (letters == 0) return;
    parts_[at_].literal.erase(0, letters);
    if (parts_[at_].literal.empty()) ++at_;
  }

  std::vector<printed_part> parts_;
  std::size_t at_ = 0;
};

class opening_reader {
 public:
  opening_reader(const template_outputs& source, const chat_layout& layout)
      : source_(source),
        layout_(layout),
        end_(std::string{layout.end} + std::string{layout.after_end}) {
    const std::time_t now = std::time(nullptr);
    if (const std::tm* const local = std::localtime(&now); local != nullptr) now_ = *local;
  }

  opening_parts read() {
    opening_parts result;
    for (const bool given : {true, false}) {
      printed_scene printed = scene(given, false, "user");
      row head(std::move(printed.head));
      const std::string preamble = system_message(head, given);
      if (given) result.preamble = preamble;
      if (preamble != result.preamble)
        throw refused{"its system message depends on more than the user's own"};
      if (!printed.loops || printed.first != (given ? 1 : 0))
        throw refused{"it does not print the messages one by one"};
    }
    result.trims = trims_;
    if (!plain("user", false) || !plain("assistant", false))
      throw refused{"its messages are put together of parts"};
    result.tools = tools();
    return result;
  }

 private:
  [[nodiscard]] printed_scene scene(bool system, bool tools, const char* role,
                                    std::size_t calls = 0) const {
    return print_scene(
        source_, {.system = system, .tools = tools, .role = role, .calls = calls, .now = now_});
  }
  [[nodiscard]] std::string header(std::string_view role) const {
    return std::string{layout_.start} + std::string{role} + std::string{layout_.after_role};
  }

  /// The literals before the user's own, `given` or none; the whole message is passed.
  std::string system_message(row& head, bool given) {
    if (head.next("bos_token")) (void)head.part("bos_token");
    head.pass(header("system"));
    if (head.failed) throw refused{"more than its system message opens a conversation"};
    std::string preamble;
    if (given) {
      preamble = head.literal();
      trims_ = head.next(own_path(false)) && head.part(own_path(false)).trims;
      if (preamble.find(layout_.end) != std::string::npos)
        throw refused{"its system message leaves out the user's own"};
      head.pass(end_);
    } else {
      preamble = head.up_to(end_);
    }
    if (!head.failed) return preamble;
    if (head.next("?")) throw refused{"its system message depends on more than the user's own"};
    throw refused{head.ended() ? "its system message has no end"
                               : "its system message is an expression"};
  }
  /// The text of the first message, or of the question behind a system message.
  static const char* own_path(bool question) {
    return question ? "messages.1.content" : "messages.0.content";
  }

  [[nodiscard]] std::optional<tool_parts> tools() {
    try {
      tool_parts found;
      found.in_question = true;
      bool understood = read_list(found) && read_call(found) && read_result(found);
      for (const char* role : {"user", "assistant", "system"})
        understood = understood && plain(role, true);
      return understood ? std::optional{std::move(found)} : std::nullopt;
    } catch (const refused&) {
      return std::nullopt;
    }
  }

  bool read_list(tool_parts& found) {
    for (const bool given : {true, false}) {
      tool_parts one = found;
      printed_scene printed = scene(given, true, "user");
      if (!printed.loops || printed.first != (given ? 2 : 1)) return false;
      row head(std::move(printed.head));
      one.preamble = system_message(head, given);
      head.pass(header("user"));
      one.begin = head.literal();
      one.each_begin = head.literal(true);
      const printed_part tool = head.part("tool");
      one.indent = tool.indent;
      one.each_end = head.literal(true);
      one.finish = head.literal();
      const bool trims = head.part(own_path(given)).trims;
      head.pass(end_);
      if (head.failed || !head.ended() || !tool.each || !tool.json || trims != trims_) return false;
      for (const std::string* text : {&one.begin, &one.each_begin, &one.each_end, &one.finish}) {
        if (text->find(layout_.start) != std::string::npos ||
            text->find(layout_.end) != std::string::npos)
          return false;
      }
      if (given) {
        found = one;
      } else if (one.preamble != found.preamble || one.begin != found.begin ||
                 one.each_begin != found.each_begin || one.each_end != found.each_end ||
                 one.finish != found.finish || one.indent != found.indent) {
        return false;
      }
    }
    return true;
  }

  /// Whether a message is its text alone.
  [[nodiscard]] bool plain(const char* role, bool tools) const {
    row message(scene(false, tools, role).message);
    message.pass(header(role));
    const bool trims = message.part("message.content").trims;
    message.pass(end_);
    return !message.failed && message.ended() && trims == trims_;
  }

  bool read_call(tool_parts& found) const {
    for (const bool tools : {true, false}) {
      tool_parts one = found;
      row message(scene(false, tools, "assistant", 1).message);
      message.pass(header(layout_.assistant));
      one.call_begin = message.literal();
      (void)message.part("message.tool_calls.0.function.name");
      one.call_middle = message.literal();
      const printed_part arguments = message.part("message.tool_calls.0.function.arguments");
      one.call_end = message.up_to(end_);
      if (message.failed || !message.ended() || !arguments.json || arguments.indent != 0)
        return false;
      // It raises an error at two.
      bool raises = false;
      for (const printed_part& part : scene(false, tools, "assistant", 2).message)
        raises = raises || part.path == "raise_exception";
      const bool same = one.call_begin == found.call_begin &&
                        one.call_middle == found.call_middle && one.call_end == found.call_end;
      if (!raises || (!tools && !same)) return false;
      found = one;
    }
    return true;
  }

  bool read_result(tool_parts& found) const {
    for (const bool tools : {true, false}) {
      tool_parts one = found;
      row message(scene(false, tools, "tool").message);
      message.pass(layout_.start);
      one.result_role = message.up_to(layout_.after_role);
      one.result_begin = message.literal();
      const printed_part text = message.part("message.content");
      one.result_json = text.json;
      one.result_trims = text.trims;
      one.result_end = message.up_to(end_);
      if (message.failed || !message.ended() || text.indent != 0) return false;
      const bool same =
          one.result_role == found.result_role && one.result_begin == found.result_begin &&
          one.result_end == found.result_end && one.result_json == found.result_json &&
          one.result_trims == found.result_trims;
      if (!tools && !same) return false;
      found = one;
    }
    return true;
  }

  const template_outputs& source_;
  const chat_layout& layout_;
  std::string end_;
  std::tm now_{};
  bool trims_ = false;  ///< the user's system message
};

}  // namespace

opening_parts read_opening(const template_outputs& source, const chat_layout& layout) {
  return opening_reader(source, layout).read();
}

}  // namespace llm
