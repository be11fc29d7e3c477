// SPDX-License-Identifier: Apache-2.0
// libFuzzer on a tokenizer.json that a host was given: read it, encode texts and decode them, write
// it and read that. A document is refused with io_error or understood; anything else is a finding.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "fuzzing.hpp"
#include "llm/temporary_folder.hpp"
#include "llm/tokenizer_folder.hpp"
#include "llm/tokenizer_json.hpp"
#include <edgerazor/io/json_text.hpp>

namespace {

constexpr std::string_view texts[] = {
    "",
    "the lamp is lit at this hill",
    "  a\n\n 12\t<|im_end|> \xc3\xa9\xcc\x81 <x> it's",
    "\xff\xe2\x96\x81\xe2\x96\xf0\x9f\x98\x80",
};

std::vector<std::vector<llm::token_id>> encodings_of(const llm::tokenizer& words) {
  std::vector<std::vector<llm::token_id>> result;
  for (const std::string_view text : texts) {
    for (const auto mode : {llm::tokenizer::markup::plain, llm::tokenizer::markup::control_tokens})
      result.push_back(words.encode(text, mode));
  }
  return result;
}

void use(const nlohmann::json& document, bool writes) {
  constexpr std::size_t rows = 200;
  llm::vocabulary_builder into(rows);
  llm::read_tokenizer_json(document, into);
  const llm::tokenizer words{into.finish()};
  require(words.size() == rows);
  const auto encodings = encodings_of(words);
  for (const std::vector<llm::token_id>& tokens : encodings) {
    for (const llm::token_id token : tokens)
      require(token >= 0 && static_cast<std::size_t>(token) < rows);
    (void)words.decode(tokens);
  }
  if (!writes) return;
  const llm::temporary_folder folder{{}};
  llm::write_vocabulary(folder.path(), words.data());
  require(encodings_of(llm::read_tokenizer(folder.path(), rows)) == encodings);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string error;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto document = edgerazor::detail::io::try_parse_json(text, error);
  if (!document) return 0;
  // Files are slow: of some inputs alone, always the same.
  const bool writes = std::hash<std::string_view>{}(text) % 8 == 0;
  try_to([&] { use(*document, writes); });
  return 0;
}
