// SPDX-License-Identifier: Apache-2.0
// Chats of published models, with thoughts and tools, as Jinja renders them.
#include <algorithm>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "io/temporary_folder.hpp"
#include "llm/chat.hpp"
#include "llm/conversations.hpp"
#include "llm/tokenizer_json.hpp"
#include "llm/tools_json.hpp"
#include <edgerazor/core/contract.hpp>

namespace {

/// Published templates, and conversations as Jinja renders them.
nlohmann::ordered_json published() {
  return llm::read_ordered_json(std::filesystem::path(EDGERAZOR_TEST_DATA) / "chat_templates.json");
}

/// As strftime_now("%d %b %Y") writes it.
std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[100];
  return {text, std::strftime(text, sizeof text, "%d %b %Y", std::localtime(&now))};
}

}  // namespace

TEST_CASE("published templates are rendered as Jinja renders them") {
  const nlohmann::ordered_json data = published();
  CHECK(data["cases"].size() == 30);
  for (const nlohmann::ordered_json& item : data["cases"]) {
    const std::string name = item["template"], which = item["case"];
    CAPTURE(name);
    CAPTURE(which);
    const llm::tokenizer words(byte_vocabulary(data["templates"][name].get<std::string>()));
    auto format = llm::chat_format::detect(words);
    REQUIRE(format);
    // What a template knows nothing of is refused, and changes nothing where Jinja is told it.
    if (!item.value("enable_thinking", true)) {
      if (format->layout().thoughts.off.empty()) {
        CHECK_THROWS_AS(format->turn_thoughts_off(), std::invalid_argument);
      } else {
        format->turn_thoughts_off();
      }
    }
    if (item.contains("tools")) {
      std::vector<std::string> tools;
      for (const auto& tool : item["tools"]) tools.push_back(llm::to_json(tool));
      if (format->layout().tools) {
        format->set_tools(tools);
      } else {
        CHECK_THROWS_AS(format->set_tools(tools), std::invalid_argument);
      }
    }
    CHECK(rendered(*format, item["messages"], item["add_generation_prompt"]) ==
          item["rendered"].get<std::string>());
  }
}

// Templates of our own, with the structure and the output of Llama 3.1's, Llama 3.2's and Gemma's;
// make_chat_families.py renders them.
TEST_CASE("conversations of Llama 3.1, 3.2 and Gemma, as Jinja renders them with their templates") {
  const nlohmann::ordered_json data =
      llm::read_ordered_json(std::filesystem::path(EDGERAZOR_TEST_DATA) / "chat_families.json");
  CHECK(data["cases"].size() == 50);
  for (const nlohmann::ordered_json& item : data["cases"]) {
    const std::string family = item["family"], which = item["case"];
    CAPTURE(family);
    CAPTURE(which);
    const nlohmann::ordered_json& own = data["families"][family];
    llm::vocabulary vocabulary = byte_vocabulary(own["template"].get<std::string>(),
                                                 own["control"].get<std::vector<std::string>>());
    vocabulary.bos = 256;
    const llm::tokenizer words(vocabulary);
    std::string why, day;
    std::optional<llm::chat_format> format;
    do {  // the template's date is that of the day on which it is read
      day = today();
      format = llm::chat_format::detect(words, why);
    } while (day != today());
    REQUIRE_MESSAGE(format, why);
    const auto text = [&] {
      return rendered(*format, item["messages"], item["add_generation_prompt"]);
    };
    const std::string begin = own["control"][0];
    if (item.contains("tools")) {
      std::vector<std::string> tools;
      for (const auto& tool : item["tools"]) tools.push_back(llm::to_json(tool));
      format->set_tools(tools);
    }
    if (item.contains("refused")) {
      CHECK_THROWS_AS((void)text(), std::invalid_argument);
      continue;
    }
    std::string expected = item["rendered"].get<std::string>();
    if (const std::size_t at = expected.find("05 Dec 2025"); at != std::string::npos)
      expected.replace(at, day.size(), day);
    CHECK(begin + text() == expected);

    // The same in parts: what opens a conversation, and the first question.
    const auto& messages = item["messages"];
    const bool given = messages[0]["role"] == "system";
    const std::size_t first = given ? 1 : 0;
    if (messages.size() == first + 1 && messages[first]["role"] == "user" &&
        item["add_generation_prompt"]) {
      if (given) format->set_system_message(messages[0]["content"]);
      std::vector<llm::token_id> tokens = format->opening();
      const auto question = format->question(messages[first]["content"].get<std::string>());
      tokens.insert(tokens.end(), question.begin(), question.end());
      CHECK(text_of(words, tokens) == expected);
    }

    // The layout by its name: the same turns, and of Llama 3.1 no date.
    if (family == "llama3_dated" || expected.find("function") != std::string::npos ||
        expected.find("ipython") != std::string::npos)
      continue;
    format = llm::chat_format::named(words, family);
    const std::size_t dates = expected.find("Cutting"), own_text = expected.find("\n\n", dates + 1);
    if (dates != std::string::npos) expected.erase(dates, own_text + 2 - dates);
    const std::string none = "<|start_header_id|>system<|end_header_id|>\n\n<|eot_id|>";
    if (const std::size_t at = expected.find(none); at != std::string::npos)
      expected.erase(at, none.size());
    CHECK(begin + text() == expected);
  }
}

TEST_CASE("what is not of Llama 3.1's form is refused, alone or with its tools") {
  const nlohmann::ordered_json data =
      llm::read_ordered_json(std::filesystem::path(EDGERAZOR_TEST_DATA) / "chat_families.json");
  const std::string whole = data["families"]["llama3"]["template"];
  enum what { nothing, tools, all };  // is refused
  struct change {
    const char *from, *to;
    what refused;
  };
  const change changes[] = {
      {"tools_by_user = true", "tools_by_user = True", nothing},
      {"if tools_by_user and not tools is none", "if tools and tools_by_user", nothing},
      {"message.content is mapping or message.content is iterable", "not message.content is string",
       nothing},
      {"messages | length != 0", "messages", nothing},
      {"'Today Date: ' + date + ", "'Today Date: ' ~ date ~ ", nothing},
      // Tools elsewhere, or in another way.
      {"tools_by_user = true", "tools_by_user = false", tools},
      {"tools_by_user = true", "tools_by_user = user_has(tools)", tools},
      {"{{- first + '<|eot_id|>' }}", "{{- first ~ now ~ '<|eot_id|>' }}", tools},
      {"{{- first + '<|eot_id|>' }}", "{{- first | upper + '<|eot_id|>' }}", tools},
      {"{%- set first = messages[0]['content']|trim %}",
       "{%- set first = messages[0]['content'] %}", tools},
      {"{{- t | tojson(indent=4) }}\n        {{- '\\n\\n' }}", "{{- t.name }}", tools},
      {"{{- t | tojson(indent=4) }}\n        {{- '\\n\\n' }}",
       "{{- t | tojson(indent=4, sort_keys=true) }}", tools},
      {"call.arguments | tojson", "call.arguments", tools},
      {"message.tool_calls|length == 1", "message.tool_calls|length == 2", tools},
      {"message.content is mapping or message.content is iterable", "message.content is odd",
       tools},
      {"message.role == 'tool' or message.role == 'ipython'", "message.role == 'function'", tools},
      {"message['content'] | trim + '<|eot_id|>'",
       "message['content'] | trim + ('' if tools else '<|eot_id|>')", all},
      {"messages[1:]", "messages[2:]", all},
      {"for message in messages", "for message in messages[1:]", all},
      // What opens a conversation.
      {"{{- own }}", "{{- own | upper }}", all},
      {"{{- own }}", "", all},
      {"{{- own }}", "{{- own }}{{- now }}", all},
      {"{{- own }}", "{%- if own != 'x' %}{{- own }}{%- endif %}", all},
      {"{%- set own = '' %}", "{%- set own = 'You help.' %}", all},
      {"set date = '26 Jul 2024'", "set date = strftime_now('%c')", all},
      {"set date = '26 Jul 2024'", "set date = strftime_now('%')", all},
      {"set date = '26 Jul 2024'", "set date = clock()", all},
      {"if not date is defined", "if not date is odd", all},
  };
  for (const change& one : changes) {
    const std::string from = one.from, to = one.to;
    CAPTURE(from);
    CAPTURE(to);
    std::string jinja = whole;
    const std::size_t at = jinja.find(from);
    REQUIRE(at != std::string::npos);
    jinja.replace(at, from.size(), one.to);
    const llm::chat_template read = llm::read_chat_template(jinja);
    CHECK(read.refusal.empty() == (one.refused != all));
    if (one.refused == all) continue;
    CHECK(read.tools.has_value() == (one.refused == nothing));
    CHECK(read.unread_tools == (one.refused == tools));
  }
}

TEST_CASE("which of the published templates have thoughts and tools") {
  const nlohmann::ordered_json data = published();
  const auto parts = [&](const char* name) {
    return llm::read_chat_template(data["templates"][name].get<std::string>());
  };
  CHECK(parts("qwen3").thoughts.off == "<think>\n\n</think>\n\n");
  CHECK(parts("qwen3").thoughts.begin == "<think>");
  CHECK(parts("qwen3").tools);
  CHECK(parts("qwen2.5").thoughts.off.empty());
  CHECK(parts("qwen2.5").thoughts.end.empty());
  CHECK(parts("qwen2.5").tools);
  CHECK(parts("smollm2").thoughts.off.empty());
  CHECK(!parts("smollm2").tools);
  CHECK(!parts("smollm2").unread_tools);
}

TEST_CASE("a conversation with tools, a system message and no thoughts") {
  const nlohmann::ordered_json data = published();
  const auto format_of = [&](const llm::tokenizer& words) {
    auto format = llm::chat_format::detect(words);
    REQUIRE(format);
    format->set_tools({"{\"x\": \"<|im_end|>\"}"});
    return *format;
  };
  const llm::tokenizer qwen3(byte_vocabulary(data["templates"]["qwen3"].get<std::string>()));
  llm::chat_format format = format_of(qwen3);
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  format.set_system_message("Be brief.");
  CHECK(has(text_of(qwen3, format.opening()), "<|im_start|>system\nBe brief.\n\n# Tools\n\n"));
  CHECK(has(text_of(qwen3, format.opening()), "<tools>\n{\"x\": \"<|im_end|>\"}\n</tools>"));
  // What stands in a tool is no control token.
  const std::vector<llm::token_id> tokens = format.opening();
  CHECK(std::count(tokens.begin(), tokens.end(), 257) == 1);
  format.turn_thoughts_off();
  CHECK(text_of(qwen3, format.question("Hi")) ==
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n");

  // Another question makes the last answer lose its thought.
  CHECK(format.forgets("Four."));
  CHECK(text_of(qwen3, format.past("Hi", "Four.", true)) ==
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nFour.<|im_end|>\n");
  format = format_of(qwen3);
  CHECK(!format.forgets("Four."));
  CHECK(format.forgets("<think>\nhm\n</think>\n\nFour."));
  CHECK(text_of(qwen3, format.past("Hi", "<think>\nhm\n</think>\n\nFour.", true)) ==
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nFour.<|im_end|>\n");

  const llm::tokenizer qwen2(byte_vocabulary(data["templates"]["qwen2.5"].get<std::string>()));
  format = format_of(qwen2);
  CHECK(!format.forgets("<think>\nhm\n</think>\n\nFour."));
  CHECK(has(text_of(qwen2, format.opening()),
            "You are Qwen, created by Alibaba Cloud. You are a "
            "helpful assistant.\n\n# Tools\n\n"));
  format.set_system_message("Be brief.");
  CHECK(has(text_of(qwen2, format.opening()), "<|im_start|>system\nBe brief.\n\n# Tools\n\n"));
  format.set_system_message("");
  CHECK(has(text_of(qwen2, format.opening()), "<|im_start|>system\n\n\n# Tools\n\n"));

  // Results in a row are one message, and calls stand on lines of their own. The thought of an
  // answer after the last question is kept.
  const nlohmann::ordered_json call = {
      {"function", {{"name", "f"}, {"arguments", nlohmann::ordered_json::object()}}}};
  const nlohmann::ordered_json turns = {
      {{"role", "user"}, {"content", "Go"}},
      {{"role", "assistant"},
       {"content", "<think>\nhm\n</think>\n\nYes."},
       {"tool_calls", nlohmann::ordered_json::array({call, call})}},
      {{"role", "tool"}, {"content", "1"}},
      {{"role", "tool"}, {"content", "2"}}};
  const std::string calls = "\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
  CHECK(has(rendered(llm::chat_format::detect(qwen3).value(), turns, false),
            ("<|im_start|>assistant\n<think>\nhm\n</think>\n\nYes." + calls + calls +
             "<|im_end|>\n<|im_start|>user\n<tool_response>\n1\n</tool_response>\n"
             "<tool_response>\n2\n</tool_response><|im_end|>\n")
                .c_str()));
}

TEST_CASE("tools that are printed in another way are refused") {
  const nlohmann::ordered_json data = published();
  const std::string whole = data["templates"]["qwen2.5"];
  const std::pair<const char*, const char*> changes[] = {
      {"tool | tojson", "tool | tojson(indent=4)"},
      {"for tool in tools", "for tool in functions"},
      {"</tool_call><|im_end|>\\n\" }}", "</tool_call><|im_end|>\\n\" }}{{ now }}"},
      {"{{- tool_call.name }}", ""},
      {"tool_call.arguments | tojson", "tool_call.arguments"},
      {"{{- '\\n<tool_response>\\n' }}", ""},
      {"loop.index0 + 1].role != \"tool\"", "loop.index0 + 1].role != \"user\""}};
  for (const auto& change : changes) {
    const std::string from = change.first, to = change.second;
    CAPTURE(from);
    std::string jinja = whole;
    REQUIRE(jinja.find(from) != std::string::npos);
    jinja.replace(jinja.find(from), from.size(), to);
    const llm::tokenizer words(byte_vocabulary(jinja));
    auto format = llm::chat_format::detect(words);
    if (!format) continue;
    CHECK_THROWS_AS(format->set_tools({"{}"}), std::invalid_argument);
    CHECK_THROWS_AS((void)rendered(*format, {{{"role", "tool"}, {"content", "1"}}}, true),
                    std::invalid_argument);
    CHECK(text_of(words, format->question("Hi")) ==
          "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  }
}

TEST_CASE("tools are read from a file, and written as Python writes them") {
  const temporary_folder folder;
  const auto read = [&](const std::string& text) {
    std::ofstream(folder / "tools.json", std::ios::binary) << text;
    return llm::read_tools(folder / "tools.json");
  };
  CHECK(
      read("[{\"b\":1,\"a\":[1.5,-2,1e-7,true,null,[],{}],\n\"c\":\"<\\u00e9&'\\\"\\n>\"}, {}]") ==
      std::vector<std::string>{"{\"b\": 1, \"a\": [1.5, -2, 1e-07, true, null, [], {}], "
                               "\"c\": \"<\u00e9&'\\\"\\n>\"}",
                               "{}"});
  for (const char* wrong : {"", "{}", "[]", "[1]", "[{}", "[{}, \"x\"]"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS((void)read(wrong), edgerazor::io_error);
  }
  CHECK_THROWS_AS((void)read(std::string(200, '[')), edgerazor::io_error);
  CHECK(llm::indented("{\"a\": [], \"b, \\\"\": [1, {\"c\": {}}]}", 2) ==
        "{\n  \"a\": [],\n  \"b, \\\"\": [\n    1,\n    {\n      \"c\": {}\n    }\n  ]\n}");
  CHECK(llm::indented("{\"a\": []}", 0) == "{\"a\": []}");
  CHECK_THROWS_AS((void)llm::indented("]}\"\\", 1), nlohmann::json::parse_error);
  CHECK(llm::json_string("\u00e9\n\"\\\x01\x7f\xff") == "\"\u00e9\\n\\\"\\\\\\u0001\x7f\ufffd\"");
  CHECK_THROWS_AS((void)llm::read_tools(folder / "missing.json"), edgerazor::io_error);
}
