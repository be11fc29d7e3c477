// SPDX-License-Identifier: Apache-2.0
/// How a model wants to be sampled: `generation_config.json` of a Hugging Face folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/hf_config.hpp>
#include <edgerazor/io/json_fields.hpp>
#include <edgerazor/io/json_text.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What the file says; nothing where it does not.
struct hf_generation {
  std::vector<std::uint32_t> begin_tokens;
  std::vector<std::uint32_t> end_tokens;  ///< where there are some, they stop, not config.json's
  std::optional<std::uint32_t> padding_token;
  std::optional<bool> sample;                ///< false: the likeliest token
  std::optional<double> temperature;         ///< 0 to 1000
  std::optional<std::size_t> top_k;          ///< 0: all
  std::optional<double> top_p, min_p;        ///< 0 to 1
  std::optional<double> repetition_penalty;  ///< above 0, to 1000
  std::optional<std::size_t> max_new_tokens;
  std::vector<std::string> stop_strings;
};

/// io_error naming the key, what it holds and what was expected. `where`: the document's path, for
/// messages.
[[nodiscard]] inline hf_generation read_hf_generation(const nlohmann::json& document,
                                                      const std::string& where) {
  const detail::io::json_fields fields(document, where);
  hf_generation result;
  result.begin_tokens = detail::io::read_tokens(fields, "bos_token_id");
  result.end_tokens = detail::io::read_tokens(fields, "eos_token_id");
  result.padding_token = detail::io::read_padding_token(fields);
  result.sample = fields.optional_flag("do_sample");
  result.temperature = fields.optional_real("temperature", 0, 1000);
  result.top_k = fields.optional_size("top_k", 0, 1 << 30);
  result.top_p = fields.optional_real("top_p", 0, 1);
  result.min_p = fields.optional_real("min_p", 0, 1);
  result.repetition_penalty = fields.optional_real("repetition_penalty", 1e-3, 1000);
  result.max_new_tokens = fields.optional_size("max_new_tokens", 1, std::size_t{1} << 30);
  result.stop_strings = fields.texts("stop_strings");
  return result;
}

/// The same of a file; of a missing one nothing is said.
[[nodiscard]] inline hf_generation read_hf_generation(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  return read_hf_generation(detail::io::read_json(path), printable(path.string(), longest_path));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
