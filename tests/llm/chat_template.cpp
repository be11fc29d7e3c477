// SPDX-License-Identifier: Apache-2.0
#include "llm/chat_template.hpp"

#include <random>
#include <string>

#include <doctest/doctest.h>

namespace {

/// Every message as ChatML has it, after `opening`.
std::string chatml(const std::string& opening) {
  return opening +
         "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
         "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
}

std::string system_of(const std::string& jinja) {
  const llm::chat_template read = llm::read_chat_template(jinja);
  CHECK(read.refusal.empty());
  if (!read.refusal.empty()) MESSAGE(read.refusal << ": " << jinja);
  return read.system;
}

void check_refused(const std::string& jinja) {
  const llm::chat_template read = llm::read_chat_template(jinja);
  CAPTURE(jinja);
  CHECK(!read.refusal.empty());
  CHECK(read.system.empty());
}

}  // namespace

TEST_CASE("the families that are known are read") {
  CHECK(system_of(chatml("")).empty());
  // A literal in a loop, as SmolLM2 and Qwen2 have it.
  CHECK(
      system_of("{% for message in messages %}{% if loop.first and messages[0]['role'] != "
                "'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}"
                "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
                "'\\n'}}{% endfor %}{% if add_generation_prompt %}"
                "{{ '<|im_start|>assistant\\n' }}{% endif %}") == "You help.");
  // Tools, and the user's system message or a literal, as Qwen2.5 has it.
  CHECK(
      system_of(
          "{%- if tools %}\n    {{- '<|im_start|>system\\n' }}\n    {%- if messages[0]['role'] == "
          "'system' %}\n        {{- messages[0]['content'] }}\n    {%- else %}\n        {{- 'You "
          "are Q.' }}\n    {%- endif %}\n    {{- \"\\n\\n# Tools\\n\\n<tools>\" }}\n    {{- "
          "\"\\n</tools><|im_end|>\\n\" }}\n{%- else %}\n    {%- if messages[0]['role'] == "
          "'system' %}\n        {{- '<|im_start|>system\\n' + messages[0]['content'] + "
          "'<|im_end|>\\n' }}\n    {%- else %}\n        {{- '<|im_start|>system\\nYou are "
          "Q.<|im_end|>\\n' }}\n    {%- endif %}\n{%- endif %}\n{%- for message in messages %}\n"
          "    {{- '<|im_start|>' + message.role }}\n    {%- if message.content %}\n        {{- "
          "'\\n' + message.content }}\n    {%- endif %}\n    {{- '<|im_end|>\\n' }}\n"
          "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' "
          "}}\n{%- endif %}\n") == "You are Q.");
  // None of its own, and thoughts where they are turned off, as Qwen3 has it.
  CHECK(system_of("{%- if messages[0].role == 'system' %}\n    {{- '<|im_start|>system\\n' + "
                  "messages[0].content + '<|im_end|>\\n' }}\n{%- endif %}\n{%- for message in "
                  "messages %}\n    {{- '<|im_start|>' + message.role + '\\n' + message.content + "
                  "'<|im_end|>' + '\\n' }}\n    {{- '<|im_start|>user' }}\n    {{- "
                  "'\\n<tool_response>\\n' }}\n    {{- '<|im_end|>\\n' }}\n{%- endfor %}\n{%- if "
                  "add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n    {%- if "
                  "enable_thinking is false %}\n        {{- '<think>\\n\\n</think>\\n\\n' }}\n    "
                  "{%- endif %}\n{%- endif %}")
            .empty());
  // A variable.
  CHECK(system_of(chatml("{% if messages[0]['role'] == 'system' %}{% set system_message = "
                         "messages[0]['content'] %}{% else %}{% set system_message = 'You are "
                         "kind.' %}{% endif %}{{ '<|im_start|>system\\n' + system_message + "
                         "'<|im_end|>\\n' }}")) == "You are kind.");
  // Text outside of tags.
  CHECK(system_of("<|im_start|>system\nYou help.<|im_end|>\n{% for m in messages %}<|im_start|>{{ "
                  "m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n") ==
        "You help.");
}

TEST_CASE("strings are read with their quotes, braces and escapes") {
  const auto literal = [](const std::string& source) {
    return system_of(chatml("{{ " + source + " }}"));
  };
  CHECK(literal("'<|im_start|>system\\nYou don\\'t lie.<|im_end|>\\n'") == "You don't lie.");
  CHECK(literal("\"<|im_start|>system\\nYou're {{kind}} %} and 'brief'.<|im_end|>\\n\"") ==
        "You're {{kind}} %} and 'brief'.");
  CHECK(literal("'<|im_start|>system\\nA\\tb\\\\n\\u00e9\\x21 \\U0001f642.<|im_end|>\\n'") ==
        "A\tb\\n\u00e9! \U0001f642.");
  CHECK(literal("'<|im_start|>system\\n' + 'Two parts.' + '<|im_end|>\\n'") == "Two parts.");
  CHECK(literal("'<|im_start|>system\\nLine one.\\nLine two.<|im_end|>\\n'") ==
        "Line one.\nLine two.");
  // A comment says nothing.
  CHECK(system_of(chatml("{# '<|im_start|>system\\nNot me.<|im_end|>\\n' #}")).empty());
}

TEST_CASE("what is not understood is refused") {
  check_refused("{{ 'User: ' + message['content'] }}");
  check_refused("{{ '[INST]' + message['content'] }}");
  check_refused("{{ '[INST] Hi [/INST]' }}");
  check_refused("{{ '[SYSTEM_PROMPT]x[/SYSTEM_PROMPT][INST]' + message['content'] + '[/INST]' }}");
  check_refused(chatml("{{ '[INST]' + message['content'] + '[/INST]' }}"));  // which of the two?
  check_refused("{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}");
  // Another layout of the same markers, as Phi-4 has it.
  check_refused(
      "{% for message in messages %}{{ '<|im_start|>user<|im_sep|>' + message['content'] "
      "+ '<|im_end|>' }}{% endfor %}{{ '<|im_start|>assistant<|im_sep|>' }}");
  check_refused(chatml("{{ '<|im_start|>system\\n' + default_message + '<|im_end|>\\n' }}"));
  check_refused(
      chatml("{{ '<|im_start|>system\\nToday is ' + strftime_now('%d') + "
             "'.<|im_end|>\\n' }}"));
  check_refused(
      chatml("{{ '<|im_start|>system\\nOne.<|im_end|>\\n' }}{{ "
             "'<|im_start|>system\\nTwo.<|im_end|>\\n' }}"));
  check_refused(
      "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' }}{{ "
      "'<|im_start|>assistant\\n' }}");  // no line feed behind a message
  check_refused(chatml("") + "{{ '<|im_start|>assistant\\n<think>\\n' }}");
  // Cut off, or never Jinja.
  check_refused("{{ '<|im_start|>");
  check_refused("{{ '<|im_start|>' + role");
  check_refused("{% for m in messages");
  check_refused("{# <|im_start|>");
  check_refused("{{ '\\xzz' }}");
  check_refused("{{ '\\ud800' }}");
  check_refused("{% raw %}<|im_start|>user\n{% endraw %}");
  // A long condition around many parts, and a row of branches.
  std::string many = "{% if " + std::string(100'000, 'a') + " %}", branches = "{% if a %}";
  for (int i = 0; i < 1000; ++i) many += "{{ b }}";
  for (int i = 0; i < 1000; ++i) branches += "{% elif a %}";
  CHECK(llm::read_chat_template(many).refusal == "its conditions are too long");
  CHECK(llm::read_chat_template(branches).refusal == "a condition has too many branches");
  check_refused("{");
  check_refused("{{");
  check_refused("{%");
  check_refused(std::string(100'000, '{'));
  // Every beginning of one that is understood: it is one, or refused.
  const std::string whole = chatml("{{ '<|im_start|>system\\nYou\\'re {{ok}}.<|im_end|>\\n' }}");
  for (std::size_t size = 0; size < whole.size(); ++size)
    (void)llm::read_chat_template(std::string_view{whole}.substr(0, size));
}

TEST_CASE("any row of a template's parts is read or refused, and ends") {
  const char* const parts[] = {"{{",
                               "}}",
                               "{%",
                               "%}",
                               "{#",
                               "#}",
                               "-",
                               "'",
                               "\"",
                               "\\",
                               "\\u00e9",
                               "\n",
                               " ",
                               "+",
                               "~",
                               "[",
                               "]",
                               "{",
                               "}",
                               "set a = ",
                               "if x",
                               "endif",
                               "a",
                               "messages",
                               "system",
                               "user",
                               "assistant",
                               "<|im_start|>",
                               "<|im_end|>",
                               "text",
                               "<|im_start|>user\n",
                               "<|im_end|>\n",
                               "[INST]",
                               "[/INST]",
                               "<|start_header_id|>",
                               "{{ '<|start_header_id|>system<|end_header_id|>\n\n' }}",
                               "{{ messages[0].content }}",
                               "{% set messages = messages[1:] %}",
                               "{% for t in tools %}{{ t | tojson(indent=4) }}{% endfor %}",
                               "{% set message = message.tool_calls[0] %}",
                               "{% elif ((not a or 'tool_calls' in message)) is none %}",
                               "{{ strftime_now('%Y') }}",
                               "{{ ((((",
                               "<|end_header_id|>\n\n",
                               "<|eot_id|>"};
  std::mt19937 random(11);
  std::size_t understood = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string jinja;
    for (auto i = random() % 30; i > 0; --i) jinja += parts[random() % std::size(parts)];
    const llm::chat_template read = llm::read_chat_template(jinja);
    CHECK((read.refusal.empty() || read.system.empty()));
    understood += read.refusal.empty() ? 1 : 0;
  }
  CHECK(understood > 0);
}
