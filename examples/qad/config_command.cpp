// SPDX-License-Identifier: Apache-2.0
#include "config_command.hpp"

#include <cstdio>
#include <memory>
#include <string>
#include <variant>

#include "package_config.hpp"
#include "support/command_line.hpp"

namespace qad {

namespace er = edgerazor;

namespace {

struct inspect_config_request {
  std::string file;
  std::size_t layers = 28;
};

const char* name_of(package_logits::divergence what) {
  using enum package_logits::divergence;
  switch (what) {
    case forward:
      return "KL(teacher || student)";
    case reverse:
      return "KL(student || teacher)";
    case by_entropy:
      return "both KL, blended by the teacher's entropy";
    case by_confidence:
      return "both KL, blended by the teacher's probability of the label";
  }
  return "";
}

const char* name_of(er::reduction how) {
  switch (how) {
    case er::reduction::sum:
      return "sum";
    case er::reduction::mean:
      return "mean";
    case er::reduction::batch_mean:
      return "batch_mean";
    case er::reduction::none:
      return "none";
  }
  return "";
}

std::string states_text(const char* what, int bits, std::size_t group) {
  if (bits == 0) return std::string{what} + " are not quantized";
  return std::string{what} + " have " + std::to_string(bits) + " bits in groups of " +
         std::to_string(group);
}

void print_quantization(const package_quantization& q, std::size_t layers) {
  const er::recipe recipe = q.recipe(layers);
  if (!recipe.name.empty()) std::printf("recipe %s\n", recipe.name.c_str());
  const std::string last = "model.layers." + std::to_string(layers - 1) + ".";
  for (const std::string& name :
       {std::string{"model.embed_tokens"}, last + "self_attn.q_proj", last + "self_attn.o_proj",
        last + "mlp.gate_proj", last + "mlp.down_proj", std::string{"lm_head"}}) {
    const std::string format = q.format_of(name, name == "model.embed_tokens");
    std::printf("  %-36s %s\n", name.c_str(), format.empty() ? "not quantized" : format.c_str());
  }
  std::printf("%s\n%s\n",
              states_text("activations", recipe.activation_bits, recipe.activation_group).c_str(),
              states_text("cached keys and values", recipe.kv_bits, recipe.kv_group).c_str());
}

void print_objective(const package_objective& o) {
  std::printf("%g * cross-entropy\n", o.task);
  if (o.logits) {
    std::printf("%g * %s, temperature %g, confidence_k %zu, %s\n", o.logits->weight,
                name_of(o.logits->what), o.logits->temperature, o.logits->confidence_k,
                name_of(o.logits->how));
  }
  if (o.features) {
    const auto* const adaptive = std::get_if<er::adaptive_layers>(&o.features->layers);
    const auto* const listed = std::get_if<std::vector<er::layer_choice>>(&o.features->layers);
    const std::string layers =
        adaptive != nullptr ? std::to_string(adaptive->count) + " layers that stand out"
        : listed != nullptr ? std::to_string(listed->size()) + " layers that are named"
                            : "all layers";
    std::printf("%g * mean squared error between hidden states of %s%s, %s\n", o.features->weight,
                layers.c_str(), o.features->normalize ? ", normalised" : "",
                name_of(o.features->how));
  }
}

}  // namespace

void add_inspect_config(CLI::App& program) {
  const auto asked = std::make_shared<inspect_config_request>();
  CLI::App& command = *program.add_subcommand(
      "inspect-config", "Read a configuration of EdgeRazor (Python), and say what it asks for");
  command.add_option("FILE", asked->file, "YAML or JSON")->required();
  support::add_number(command, "--layers", asked->layers, {1, 10000}, "Blocks of the model");
  command.callback([asked] {
    const package_config config = read_package_config(asked->file);
    if (config.quantization) print_quantization(*config.quantization, asked->layers);
    if (config.objective) print_objective(*config.objective);
    try {
      (void)training_of(config, asked->layers);
    } catch (const std::invalid_argument& error) {
      std::printf("qad student --config refuses it: %s\n", error.what());
    }
  });
}

}  // namespace qad
