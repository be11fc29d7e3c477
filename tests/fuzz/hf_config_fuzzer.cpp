// SPDX-License-Identifier: Apache-2.0
// libFuzzer on what a host does with the JSON of a Hugging Face folder: the configuration, of the
// model and of its quantization, and how it wants to be sampled. A document is refused with
// io_error or understood; anything else is a finding.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fuzzing.hpp"
#include <edgerazor/io/hf_config_document.hpp>
#include <edgerazor/io/hf_generation.hpp>
#include <edgerazor/io/hf_model.hpp>
#include <edgerazor/io/hf_quantization.hpp>

namespace er = edgerazor;

namespace {

void use(const er::hf_config& config) {
  require(config.heads % config.kv_heads == 0 && config.head_size % 2 == 0);
  require(config.sliding_layers.empty() || config.sliding_layers.size() == config.layers);
  for (const auto& row : er::detail::io::hf_layer_names) {
    for (const std::uint64_t extent : er::hf_shape(config, row.role))
      require(extent != 0 && extent <= std::uint64_t{1} << 32);
  }
  (void)config.rope.frequency(0, config.head_size);
  std::optional<nlohmann::json> document;
  try {
    document = er::hf_config_document(config, "float16");
  } catch (const std::invalid_argument&) {  // no plain one
    return;
  }
  const er::hf_config again = er::read_hf_config(*document, "again");
  require(again.layers == config.layers && again.head_size == config.head_size);
  require(again.rope.base == config.rope.base && again.tied_head == config.tied_head);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string error;
  const auto document =
      er::detail::io::try_parse_json({reinterpret_cast<const char*>(data), size}, error);
  require(document.has_value() == error.empty());
  if (!document) return 0;
  try_to([&] { use(er::read_hf_config(*document, "input")); });
  try_to([&] { (void)er::read_hf_generation(*document, "input"); });
  try_to([&] {
    const er::hf_quantization found = er::read_hf_quantization(*document, "input", {});
    for (const char* const module : {"lm_head", "model.layers.0.mlp.up_proj"})
      try_to([&] { (void)found.of(module); });
  });
  return 0;
}
