// SPDX-License-Identifier: Apache-2.0
// Chats of published models, with thoughts and tools, as Jinja renders them.
#include <algorithm>
#include <filesystem>
#include <fstream>
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

// Templates of our own, with the structure and the output of Llama 3.1's and Gemma's.
TEST_CASE("conversations of Llama 3.1 and Gemma, as Jinja renders them with their templates") {
  const nlohmann::ordered_json data =
      llm::read_ordered_json(std::filesystem::path(EDGERAZOR_TEST_DATA) / "chat_families.json");
  CHECK(data["cases"].size() == 20);
  for (const nlohmann::ordered_json& item : data["cases"]) {
    const std::string family = item["family"], which = item["case"];
    CAPTURE(family);
    CAPTURE(which);
    const nlohmann::ordered_json& own = data["families"][family];
    llm::vocabulary vocabulary = byte_vocabulary(own["template"].get<std::string>(),
                                                 own["control"].get<std::vector<std::string>>());
    vocabulary.bos = 256;
    const llm::tokenizer words(vocabulary);
    std::string why;
    auto format = llm::chat_format::detect(words, why);
    REQUIRE_MESSAGE(format, why);
    const auto text = [&] {
      return rendered(*format, item["messages"], item["add_generation_prompt"]);
    };
    const std::string begin = own["control"][0];
    if (item.contains("tools")) {  // in a way of their own
      CHECK_THROWS_WITH_AS(format->set_tools({"{}"}),
                           "the model's chat template prints tools in a way that this program does "
                           "not follow",
                           std::invalid_argument);
    } else if (item.contains("refused")) {
      CHECK_THROWS_AS((void)text(), std::invalid_argument);
    } else {
      CHECK(begin + text() == item["rendered"].get<std::string>());
    }

    // The layout by its name: the same turns, and of Llama 3.1 no date.
    if (!item.contains("rendered")) continue;
    format = llm::chat_format::named(words, family);
    std::string expected = item["rendered"].get<std::string>();
    const std::size_t dates = expected.find("Cutting"), own_text = expected.find("\n\n", dates + 1);
    if (dates != std::string::npos) expected.erase(dates, own_text + 2 - dates);
    const std::string none = "<|start_header_id|>system<|end_header_id|>\n\n<|eot_id|>";
    if (const std::size_t at = expected.find(none); at != std::string::npos)
      expected.erase(at, none.size());
    CHECK(begin + text() == expected);
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
  CHECK_THROWS_AS((void)llm::read_tools(folder / "missing.json"), edgerazor::io_error);
}
