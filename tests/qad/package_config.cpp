// SPDX-License-Identifier: Apache-2.0
#include "qad/package_config.hpp"

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/published_objectives.hpp>
#include <edgerazor/policy/recipe.hpp>

namespace er = edgerazor;

namespace {

constexpr const char* weights = "weight_quant_uniform_symmetric_";
constexpr const char* states = "state_quant_uniform_symmetric_absmax_per_block_int8";

/// A run that was published, as its file says it: of `model` "qwen3" or "llama", at `bits`, in
/// groups of `group` columns, those of the cache of `cache`, with the three weights.
std::string published_file(const std::string& model, const std::string& bits,
                           const std::string& group, const std::string& cache,
                           const std::array<std::string, 3>& alphas) {
  const bool mixed = bits == "2.79" || bits == "1.88", ternary = bits == "1.58";
  const std::string int4 = weights + std::string{"absmax_per_block_int4"};
  const std::string function =
      mixed     ? weights + std::string{"clip_per_block_mp_int1_58_int4_static_row_wise_sparse"}
      : ternary ? weights + std::string{"clip_per_block_int1_58"}
                : int4;
  std::string text = "# " + model +
                     "\nqat_configuration:\n  method: QAT\n  training: all\n  select:\n" +
                     "    target_types: [linear, embedding, " + model +
                     "attention]\n    target_names: []\n    exclude_types: []\n" +
                     "    exclude_names: []\n  function:\n    is_w_quantized: False\n" +
                     "    epsilon: 1.0e-05\n    weight_function: " + function +
                     "\n    w_block_size: " + group + "\n";
  if (mixed || ternary) text += "    w_scale_factor: 2.0\n";
  if (mixed)
    text +=
        std::string{"    w_mixed_precision_prop: "} + (bits == "2.79" ? "0.50" : "0.125") + "\n";
  text += std::string{"    activation_function: "} + states + "\n    a_block_size: " + group +
          "\n    kv_cache_function: " + states + "\n    kv_block_size: " + cache + "\n";
  if (mixed || ternary) {
    text += "  overrides:\n";
    for (const char* const name : {"model.embed_tokens", "lm_head"}) {
      text += std::string{"  - name: "} + name + "\n    weight_function: " + int4 +
              "\n    w_scale_factor: -1\n" + (mixed ? "    w_mixed_precision_prop: -1\n" : "");
    }
  }
  text +=
      "kd_configuration:\n  method: KD\n  loss_task_alpha: " + alphas[0] +
      "\n  loss_1:\n    loss_type: logits\n    loss_function: compute_kld_confidence\n"
      "    use_entropy: True\n    confidence_k: 16\n    temperature: 1.0\n"
      "    reduction: batch_mean\n    padding_id: -100\n    alpha: " +
      alphas[1] +
      "\n  loss_2:\n    loss_type: hidden_states\n    loss_function: compute_mse\n"
      "    layer_index: adaptive\n    reduction: batch_mean\n    padding_id: -100\n    alpha: " +
      alphas[2];  // without a line feed, as the files end
  return text;
}

struct config_folder {
  temporary_folder folder;

  qad::package_config read(std::string_view text, const char* name = "train.yaml") const {
    write_bytes(folder / name, std::as_bytes(std::span{text}));
    return qad::read_package_config(folder / name);
  }
  std::string refusal(std::string_view text) const {
    try {
      (void)read(text);
    } catch (const er::io_error& error) {
      const std::string said = error.what(), name = "'" + (folder / "train.yaml").string() + "'";
      CHECK(said.starts_with(name));
      return said.substr(name.size());
    }
    return "taken";
  }
};

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), by);
}

void check_same(const er::distillation_recipe& a, const er::distillation_recipe& b) {
  CHECK(a.task == b.task);
  CHECK(a.logits == b.logits);
  CHECK(a.features == b.features);
  CHECK(a.confidence_k == b.confidence_k);
  CHECK(a.metric == b.metric);
  CHECK(a.layers == b.layers);
}

}  // namespace

TEST_CASE("the published files are the library's recipes and objectives") {
  struct run {
    const char *model, *bits, *group, *cache, *recipe;
    std::array<std::string, 3> alphas;
    er::distillation_recipe objective;
  };
  const std::vector<run> runs{
      {"qwen3", "4", "256", "128", "w4_a8_kv8", {"0.05", "2.0", "0.5"}, er::published::qwen3_w4},
      {"qwen3",
       "2.79",
       "256",
       "128",
       "w2_79_a8_kv8",
       {"0.1", "2.0", "0.1"},
       er::published::qwen3_w2_79},
      {"qwen3",
       "1.88",
       "256",
       "128",
       "w1_88_a8_kv8",
       {"0.1", "2.0", "0.1"},
       er::published::qwen3_w1_88},
      {"qwen3",
       "1.58",
       "256",
       "128",
       "w1_58_a8_kv8",
       {"0.1", "2.0", "0.1"},
       er::published::qwen3_w1_58},
      {"llama", "4", "64", "64", "w4_a8_kv8", {"0.5", "2.0", "0.1"}, er::published::mobilellm_w4},
      {"llama",
       "2.79",
       "64",
       "64",
       "w2_79_a8_kv8",
       {"0.5", "2.0", "0.1"},
       er::published::mobilellm_w2_79},
      {"llama",
       "1.88",
       "64",
       "64",
       "w1_88_a8_kv8",
       {"0.2", "4.0", "1.0"},
       er::published::mobilellm_w1_88},
      {"llama",
       "1.58",
       "64",
       "64",
       "w1_58_a8_kv8",
       {"0.2", "4.0", "1.0"},
       er::published::mobilellm_w1_58},
  };
  const config_folder in;
  for (const run& one : runs) {
    CAPTURE(one.model);
    CAPTURE(one.bits);
    const qad::package_config config =
        in.read(published_file(one.model, one.bits, one.group, one.cache, one.alphas));
    REQUIRE(config.quantization);
    REQUIRE(config.objective);
    check_same(config.objective->published_form(), one.objective);
    const er::recipe is = config.quantization->recipe(28);
    const er::recipe expected = *er::find_recipe(
        one.recipe, {.group = std::stoul(one.group), .kv_group = std::stoul(one.cache)});
    CHECK(is.name == one.recipe);
    CHECK(is.activation_group == expected.activation_group);
    CHECK(is.kv_group == expected.kv_group);
    for (const char* const name :
         {"model.embed_tokens.weight", "lm_head.weight", "token_embd.weight", "output.weight",
          "model.layers.3.mlp.down_proj.weight", "blk.27.attn_output.weight",
          "blk.0.attn_norm.weight", "model.layers.3.self_attn.q_norm.weight"})
      CHECK(is.weight_format(name) == expected.weight_format(name));
  }
}

TEST_CASE("the same as JSON, and each block alone") {
  const config_folder in;
  const std::string function =
      std::string{R"("function": {"epsilon": 1e-05, "weight_function": ")"} + weights +
      R"(absmax_per_block_int4", "w_scale_factor": 2.0, "w_block_size": 128, "kv_block_size": -1,
	"is_w_quantized": false, "kv_cache_function": "", "activation_function": null},
	"training": "all")";
  const std::string losses =
      R"("loss_1": {"loss_type": "hidden_states", "loss_function": "compute_mse", "alpha": 0.5,
      "layer_index": ["low", "mid", -1]})";
  const std::string select = R"("select": {"target_types": ["linear"]}, )";
  const qad::package_config both = in.read("{\"qat_configuration\": {" + select + function +
                                               "},\n\"kd_configuration\": {" + losses + "}}",
                                           "train.json");
  REQUIRE(both.quantization);
  CHECK(both.quantization->format_of("model.layers.0.mlp.up_proj", false) == "int4_g128");
  CHECK(both.quantization->format_of("model.embed_tokens", true).empty());
  const er::recipe recipe = both.quantization->recipe(2);
  CHECK(recipe.name.empty());
  CHECK(recipe.activation_bits == 0);
  CHECK(recipe.kv_bits == 0);
  CHECK(recipe.weight_format("blk.1.ffn_up.weight") == "int4_g128");
  CHECK(recipe.weight_format("output.weight") == "int4_g128");  // the head is linear
  CHECK(recipe.weight_format("token_embd.weight").empty());
  REQUIRE(both.objective);
  CHECK(!both.objective->logits);
  const auto& layers =
      std::get<std::vector<er::layer_choice>>(both.objective->features.value().layers);
  REQUIRE(layers.size() == 3);
  CHECK(layers[1].among(9) == 4);
  CHECK(layers[2].among(9) == 8);
  CHECK_THROWS_WITH_AS((void)both.objective->published_form(),
                       doctest::Contains("layer_index is not adaptive"), std::invalid_argument);

  CHECK(in.read("{" + select + function + "}").quantization.has_value());
  CHECK(!in.read("{" + select + function + "}").objective.has_value());
  const qad::package_config kd = in.read("{\"method\": \"kd\", " + losses + "}");
  CHECK(!kd.quantization.has_value());
  CHECK(kd.objective.has_value());
}

TEST_CASE("absent keys have the package's defaults") {
  const config_folder in;
  const qad::package_objective objective =
      in.read(
            "loss_1:\n  loss_type: logits\nloss_b:\n  loss_type: hidden_states\n"
            "  loss_function: compute_mse\n  layer_index: adaptive\n"
            "  layer_index_adaptive_metric: l2\n")
          .objective.value();
  CHECK(objective.task == 1);
  CHECK(objective.logits->what == qad::package_logits::divergence::reverse);
  CHECK(objective.logits->weight == 0.5);
  CHECK(objective.logits->temperature == 2);
  CHECK(objective.logits->confidence_k == 5);
  CHECK(objective.logits->how == er::reduction::batch_mean);
  const auto& layers = std::get<er::adaptive_layers>(objective.features->layers);
  CHECK(layers.metric == er::layer_metric::norm);
  CHECK(layers.count == 3);
  CHECK(!objective.features->normalize);
}

TEST_CASE("overrides replace what they name, in order, where patterns and types say") {
  const config_folder in;
  const std::string head =
      std::string{
          "select:\n  target_types: [lin.*]\n  exclude_names: "
          "['.*o_proj$', lm_head]\n  target_names: ['.*embed_tokens']\n"
          "function:\n  weight_function: "} +
      weights + "absmax_per_block_int4\n  w_block_size: 64\n";
  const qad::package_quantization q =
      in.read(head + "overrides:\n- name: model.layers.1.*\n  w_block_size: 32\n" +
              "- type: linear\n  name: .*down_proj\n  weight_function: " + weights +
              "absmax_per_block_int8\n- type: embedding\n  weight_function: " + weights +
              "absmax_per_channel_int4\n  w_block_size: -1\n")
          .quantization.value();
  CHECK(q.format_of("model.layers.0.mlp.up_proj", false) == "int4_g64");
  CHECK(q.format_of("model.layers.1.mlp.up_proj", false) == "int4_g32");
  CHECK(q.format_of("model.layers.1.mlp.down_proj", false) == "int8_g32");
  CHECK(q.format_of("model.layers.0.mlp.down_proj", false) == "int8_g64");
  CHECK(q.format_of("model.layers.0.self_attn.o_proj", false).empty());
  CHECK(q.format_of("lm_head", false).empty());
  CHECK(q.format_of("model.embed_tokens", true) == "int4_row");
  const er::recipe recipe = q.recipe(2);
  CHECK(recipe.weight_format("blk.1.ffn_down.weight") == "int8_g32");
  CHECK(recipe.weight_format("blk.0.attn_output.weight").empty());
}

TEST_CASE("keys of other losses may be there with what the package has in their absence") {
  const config_folder in;
  const std::string all =
      "    is_router_logits: false\n    self_relation_distill_component: value\n"
      "    normalize: false\n    layer_index_adaptive_topk: 3\n"
      "    layer_index_adaptive_metric: cosine_similarity\n";
  const std::string text =
      "kd_configuration:\n  loss_1:\n    loss_type: logits\n    layer_index: null\n" + all +
      "  loss_2:\n    loss_type: hidden_states\n    loss_function: compute_mse\n"
      "    temperature: 2.0\n    use_entropy: true\n    confidence_k: 5\n    layer_index: 3\n" +
      all;
  CHECK(in.refusal(text) == "taken");
  for (const auto& one : std::vector<std::array<std::string, 2>>{
           {"is_router_logits: false", "is_router_logits: true"},
           {"component: value", "component: both"},
           {"normalize: false", "normalize: true"},
           {"temperature: 2.0", "temperature: 2.5"},
           {"use_entropy: true", "use_entropy: false"},
           {"topk: 3", "topk: 4"},
           {"layer_index: null", "layer_index: low"}}) {
    CAPTURE(one[1]);
    CHECK(in.refusal(replaced(text, one[0], one[1])).find(": a loss of ") != std::string::npos);
  }
}

TEST_CASE("a trainer is told what it can do, and refused the rest by name") {
  const config_folder in;
  const std::string good = published_file("llama", "1.88", "64", "64", {"0.2", "4.0", "1.0"});
  const qad::configured_training told = qad::training_of(in.read(good), 3);
  CHECK(told.recipe == "w1_88_a8_kv8");
  CHECK(told.group == 64);
  CHECK(told.kv_group == 64);
  CHECK(told.distils);
  CHECK(told.logits_loss == "eakld");
  CHECK(told.features);
  CHECK(told.task_weight == 0.2);
  CHECK(told.logits_weight == 4);
  CHECK(told.feature_weight == 1);
  CHECK(told.confidence_k == 16);
  CHECK(told.feature_layers == 3);

  const qad::configured_training other = qad::training_of(
      in.read("loss_1:\n  loss_function: compute_kld_forward\n  temperature: 1\n  alpha: 3\n"), 3);
  CHECK(other.recipe == "none");
  CHECK(other.logits_loss == "forward");
  CHECK(other.logits_weight == 3);
  CHECK(other.task_weight == 1);
  CHECK(!other.features);
  // Without a kd_configuration it is qat.
  const std::string qat = good.substr(0, good.find("kd_configuration"));
  CHECK(!qad::training_of(in.read(qat), 3).distils);
  CHECK(qad::training_of(in.read(qat), 3).task_weight == 1);

  for (const auto& one : std::vector<std::array<std::string, 3>>{
           {"use_entropy: True", "use_entropy: False", "use_entropy: false"},
           {"temperature: 1.0", "temperature: 2.0", "temperature 2"},
           {"reduction: batch_mean", "reduction: sum", "another reduction"},
           {"layer_index: adaptive", "layer_index: high", "another layer_index"},
           {"layer_index: adaptive", "layer_index: adaptive\n    normalize: true", "normalize"},
           {"  - name: lm_head", "  - name: .*up_proj", "no named recipe's"},
           {"target_types: [linear, embedding,", "target_types: [linear,", "no named recipe's"}}) {
    CAPTURE(one[1]);
    CHECK_THROWS_WITH_AS((void)qad::training_of(in.read(replaced(good, one[0], one[1])), 3),
                         doctest::Contains(one[2].c_str()), std::invalid_argument);
  }
}

TEST_CASE("what is not obeyed is refused by its name, with the line") {
  const config_folder in;
  const std::string good = published_file("qwen3", "1.88", "256", "128", {"0.1", "2", "0.1"});
  CHECK(in.refusal(good) == "taken");
  const std::string wanted = "weight_quant_uniform_symmetric_clip_per_block_mp_int1_58_int4_";
  const std::vector<std::array<std::string, 3>> cases{
      {"  training: all", "  training: lora", ", line 4: training: 'lora', expected all"},
      {"method: QAT", "method: PTQ", ", line 3: method: 'PTQ', expected QAT"},
      {"  training: all", "  log_level: INFO",
       ", line 4: the key 'log_level' of qat_configuration is none"},
      {"# qwen3", "seed: 1", ", line 1: the key 'seed' of the file is none"},
      {"is_w_quantized: False", "is_w_quantised: False", "'is_w_quantised' of function is none"},
      {"is_w_quantized: False", "is_w_quantized: True", "is_w_quantized: true, and weights"},
      {"is_w_quantized: False", "is_w_quantized: 7", "is_w_quantized: expected true or false"},
      {"is_w_quantized: False", "epsilon: 1.0e-05", "the key 'epsilon' is there twice"},
      {"1.0e-05", "1.0e-06", ", line 12: epsilon: '1.0e-06', and the smallest scale"},
      {"qwen3attention", "gpt2attention", "'gpt2attention' is no type of module here"},
      {", qwen3attention", "",
       "kv_cache_function: keys and values are quantized, and target_types"},
      {"exclude_names: []", "exclude_names: ['(a']", "'(a' is no pattern"},
      {"target_names: []", "target_names: x", "target_names: expected a list of words"},
      {wanted + "static_row_wise_sparse", wanted + "dynamic",
       ", line 13: weight_function 'weight_quant_uniform_symmetric_clip_per_block_mp_int1_58_int4_"
       "dynamic' is none that has a format here"},
      {"w_scale_factor: 2.0", "w_scale_factor: 1.5", "w_scale_factor is 1.5, and ternary"},
      {"w_block_size: 256", "w_block_size: 30", "w_block_size is 30, expected a multiple of 4"},
      {"    w_block_size: 256\n", "", "w_block_size is -1, expected a multiple of 4"},
      {"w_block_size: 256", "w_block_size: 25.6", "w_block_size: expected -1 to 1048576, got"},
      {"prop: 0.125", "prop: 0.3", "w_mixed_precision_prop is 0.3, expected 0, or 1 divided by"},
      {"prop: 0.125", "prop: -0.5", "w_mixed_precision_prop: expected 0 to 1, or -1"},
      {"    w_mixed_precision_prop: 0.125\n", "", "w_mixed_precision_prop is -1, expected"},
      {"    w_scale_factor: -1\n    w_mixed_precision_prop: -1\n", "",
       "w_mixed_precision_prop is 0.125, and weight_function"},
      {"a_block_size: 256", "a_block_size: -1", "a_block_size: -1, expected a multiple of 4"},
      {std::string{"activation_function: "} + states, "activation_function: ''",
       "a_block_size: 256, and activation_function is none"},
      {std::string{"kv_cache_function: "} + states,
       "kv_cache_function: state_quant_uniform_symmetric_absmax_per_token_int4",
       "kv_cache_function: 'state_quant_uniform_symmetric_absmax_per_token_int4', expected"},
      {"name: lm_head", "nam: lm_head", "the key 'nam' of an override is none"},
      {"- name: lm_head\n   ", "-", "an override has neither name nor type"},
      {"alpha: 0.1", "alpha: -0.1", "loss_task_alpha: expected 0 or more, got '-0.1'"},
      {"alpha: 0.1", "alpha: nan", "loss_task_alpha: expected 0 or more, got 'nan'"},
      {"loss_1:", "loos_1:", "the key 'loos_1' of kd_configuration is none"},
      {"loss_type: logits", "loss_type: attentions",
       "loss_type: 'attentions', expected logits or hidden_states"},
      {"loss_type: logits", "loss_type: hidden_states", "temperature: a loss of hidden_states has"},
      {"compute_kld_confidence", "compute_kl", "loss_function: 'compute_kl', expected compute_kld"},
      {"compute_mse", "compute_fd", "loss_function: 'compute_fd', expected compute_mse"},
      {"padding_id: -100", "padding_id: 0", "padding_id: '0', expected -100"},
      {"temperature: 1.0", "temperature: 0", "temperature: expected more than 0"},
      {"confidence_k: 16", "confidence_k: 1", "confidence_k: expected 2 to"},
      {"reduction: batch_mean", "reduction: none", "reduction: 'none', expected sum, mean"},
      {"layer_index: adaptive", "layer_index: all", "layer_index: 'all', expected a number"},
      {"layer_index: adaptive", "layer_index_adaptive_topk: 4", "layer_index is not adaptive"},
      {"layer_index: adaptive", "layer_index: adaptive\n    layer_index_adaptive_metric: l1",
       "layer_index_adaptive_metric: 'l1', expected"},
      {"  loss_2:\n    loss_type: hidden_states\n    loss_function: compute_mse\n"
       "    layer_index: adaptive\n",
       "  loss_2:\n    loss_type: logits\n", "loss_2: a second loss between logits"},
      {"  method: KD", "  method: KD\n  router_z_loss_coef: 0.001", "'router_z_loss_coef' of"},
      {"qat_configuration:", "qat_configuration: [", "it is no YAML"},
      {"# qwen3", "\t- [", "it is no YAML"},
  };
  for (const std::array<std::string, 3>& one : cases) {
    const std::string said = in.refusal(replaced(good, one[0], one[1]));
    CAPTURE(one[1]);
    CAPTURE(said);
    CHECK(said.find(one[2]) != std::string::npos);
    CHECK(said.find("line ") != std::string::npos);
  }
  for (const char* const text : {"", "a", "[1, 2]", "- x"})
    CHECK(in.refusal(text).find("as a map") != std::string::npos);
  CHECK(in.refusal("kd_configuration:\n  loss_task_alpha: 1\n").find("has no loss_1") !=
        std::string::npos);
  CHECK(in.refusal(std::string(2u << 20, ' ')).find("more than 1 MiB") != std::string::npos);
  CHECK(in.refusal(std::string(20000, '[')).find("no YAML") != std::string::npos);
  CHECK_THROWS_AS((void)qad::read_package_config(in.folder / "none"), er::io_error);
}
