// SPDX-License-Identifier: Apache-2.0
/// Configurations from their YAML: `package_config` as a file says it.
#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <set>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "package_config.hpp"
#include "support/number.hpp"
#include "yaml_file.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/name_pattern.hpp>

namespace qad {

namespace er = edgerazor;
using er::detail::io::name_pattern;

namespace {

constexpr std::string_view state_int8 = "state_quant_uniform_symmetric_absmax_per_block_int8";

/// Reads one file.
class config_reader : private yaml_file {
 public:
  using yaml_file::yaml_file;

  package_config read() const {
    package_config result;
    if (!root().IsMap()) {
      throw er::io_error(name() +
                         ": expected qat_configuration, kd_configuration or both, as a map");
    }
    if (root()["qat_configuration"] || root()["kd_configuration"]) {
      check_keys(root(), "the file", {"qat_configuration", "kd_configuration"});
      if (const YAML::Node qat = root()["qat_configuration"])
        result.quantization = read_quantization(qat);
      if (const YAML::Node kd = root()["kd_configuration"]) result.objective = read_objective(kd);
      return result;
    }
    const bool is_qat = root()["select"] || root()["function"] || root()["training"] ||
                        (root()["method"] && text_of(root()["method"], "method") == "QAT");
    if (is_qat) {
      result.quantization = read_quantization(root());
    } else {
      result.objective = read_objective(root());
    }
    return result;
  }

 private:
  std::string pattern_of(const YAML::Node& at, const std::string& text,
                         const std::string& key) const {
    if (!name_pattern::compile(text))
      refuse_at(at, key + ": " + er::quoted(text) + " is no pattern that this program follows");
    return text;
  }

  void check_method(const YAML::Node& map, std::string_view expected) const {
    const YAML::Node node = map["method"];
    if (!node) return;
    std::string method = text_of(node, "method");
    std::transform(method.begin(), method.end(), method.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    if (method != expected)
      refuse_at(node, "method: " + er::quoted(method) + ", expected " + std::string{expected});
  }

  static constexpr std::array<std::string_view, 11> types{"linear",
                                                          "embedding",
                                                          "conv1d",
                                                          "conv2d",
                                                          "conv3d",
                                                          "kv_cache",
                                                          "multiheadattention",
                                                          "llamaattention",
                                                          "qwen2attention",
                                                          "qwen3attention",
                                                          "qwen2_5omniattention"};

  /// Types by their names or by patterns of whole names.
  std::set<std::string_view> types_of(const YAML::Node& map, const char* key) const {
    std::set<std::string_view> result;
    const YAML::Node node = map[key];
    if (!node) return result;
    for (const std::string& text : words_of(node, key)) {
      const auto pattern = name_pattern::compile("(?:" + text + ")$");
      const std::size_t before = result.size();
      bool any = false;
      for (const std::string_view type : types) {
        if (type != text && !(pattern && pattern->matches(type))) continue;
        any = true;
        result.insert(type);
      }
      if (!any && result.size() == before)
        refuse_at(node, std::string{key} + ": " + er::quoted(text) + " is no type of module here");
    }
    return result;
  }

  /// The keys of a function that the map has.
  std::vector<std::string> read_function(const YAML::Node& map, package_function& f) const {
    constexpr double most = std::numeric_limits<double>::max();
    const support::number_range<long long> block{-1, 1 << 20};
    const support::number_range<double> part{-1, 1}, real{-most, most};
    std::vector<std::string> keys;
    for (const auto& item : map) {
      const std::string key = item.first.Scalar();
      const YAML::Node& value = item.second;
      keys.push_back(key);
      if (key == "weight_function") f.weights = text_of(value, key);
      if (key == "w_scale_factor") f.factor = number_of(value, key, real);
      if (key == "w_block_size") f.group = number_of(value, key, block);
      if (key == "w_mixed_precision_prop") {
        f.proportion = number_of(value, key, part);
        if (f.proportion < 0 && f.proportion != -1)
          refuse_at(value, key + ": expected 0 to 1, or -1 for none");
      }
      if (key == "activation_function") f.activations = text_of(value, key);
      if (key == "a_block_size") f.activation_group = number_of(value, key, block);
      if (key == "kv_cache_function") f.cache = text_of(value, key);
      if (key == "kv_block_size") f.cache_group = number_of(value, key, block);
      if (key == "epsilon" && number_of(value, key, real) != 1e-5)
        refuse_at(value, "epsilon: " + er::quoted(value.Scalar()) +
                             ", and the smallest scale here is 1e-05");
      if (key == "is_w_quantized" && flag_of(value, key))
        refuse_at(value,
                  "is_w_quantized: true, and weights that are trained are not quantized yet");
      if ((key == "a_mixed_precision_prop" || key == "kv_mixed_precision_prop") &&
          number_of(value, key, part) > 0)
        refuse_at(value, key + ": states of two precisions are none of this program's");
    }
    return keys;
  }

  /// States are int8 in groups, or not quantized; function and group say the same.
  void check_states(const YAML::Node& at, const char* function_key, const std::string& function,
                    const char* group_key, long long group) const {
    const YAML::Node function_at = at[function_key] ? at[function_key] : at;
    const YAML::Node group_at = at[group_key] ? at[group_key] : at;
    if (function.empty()) {
      if (group > 0) {
        refuse_at(group_at, std::string{group_key} + ": " + std::to_string(group) + ", and " +
                                function_key + " is none");
      }
      return;
    }
    if (function != state_int8) {
      refuse_at(function_at, std::string{function_key} + ": " + er::quoted(function, 200) +
                                 ", expected " + std::string{state_int8} + " or none");
    }
    if (group < 4 || group % 4 != 0) {
      refuse_at(group_at, std::string{group_key} + ": " + std::to_string(group) +
                              ", expected a multiple of 4 with " + function_key);
    }
  }

  void check_format(const YAML::Node& at, const package_function& f) const {
    try {
      (void)format_of_function(f);
    } catch (const std::invalid_argument& error) {
      const std::string sentence = error.what();
      const YAML::Node key = at[sentence.substr(0, sentence.find(' '))];
      refuse_at(key ? key : at, sentence);
    }
  }

  package_quantization read_quantization(const YAML::Node& map) const {
    check_keys(map, "qat_configuration", {"method", "select", "function", "overrides", "training"});
    check_method(map, "QAT");
    require(map, "training", "all", "all parameters are trained");
    package_quantization result;
    std::set<std::string_view> chosen, excluded;
    if (const YAML::Node select = map["select"]) {
      check_keys(select, "select",
                 {"target_types", "target_names", "exclude_types", "exclude_names"});
      chosen = types_of(select, "target_types");
      excluded = types_of(select, "exclude_types");
      for (const auto& [key, list] : {std::pair{"target_names", &result.targets},
                                      std::pair{"exclude_names", &result.excluded}}) {
        if (const YAML::Node names = select[key]) {
          for (const std::string& name : words_of(names, key))
            list->push_back(pattern_of(names, name, key));
        }
      }
    }
    const auto takes = [&](std::string_view type) {
      return chosen.contains(type) && !excluded.contains(type);
    };
    result.linear = takes("linear");
    result.embedding = takes("embedding");
    for (const char* const type :
         {"kv_cache", "llamaattention", "qwen2attention", "qwen3attention", "qwen2_5omniattention"})
      result.attention = result.attention || takes(type);

    const YAML::Node function = map["function"];
    // What the package has where the key is absent.
    result.function.weights = std::string{weight_prefix} + "clip_per_block_int1_58";
    if (function) {
      check_keys(
          function, "function",
          {"epsilon", "weight_function", "w_scale_factor", "w_block_size", "w_mixed_precision_prop",
           "is_w_quantized", "activation_function", "a_block_size", "a_mixed_precision_prop",
           "kv_cache_function", "kv_block_size", "kv_mixed_precision_prop"});
      (void)read_function(function, result.function);
    }
    const YAML::Node at = function ? function : map;
    const package_function& f = result.function;
    if (result.linear || result.embedding || !result.targets.empty()) check_format(at, f);
    check_states(at, "activation_function", f.activations, "a_block_size", f.activation_group);
    check_states(at, "kv_cache_function", f.cache, "kv_block_size", f.cache_group);
    if (!f.cache.empty() && !result.attention) {
      refuse_at(at["kv_cache_function"],
                "kv_cache_function: keys and values are quantized, and target_types names no "
                "attention and no kv_cache");
    }
    if (const YAML::Node list = map["overrides"]) read_overrides(list, result);
    return result;
  }

  void read_overrides(const YAML::Node& list, package_quantization& result) const {
    if (!list.IsSequence()) refuse_at(list, "overrides: expected a list");
    for (const auto& one : list) {
      check_keys(one, "an override",
                 {"name", "type", "epsilon", "weight_function", "w_scale_factor", "w_block_size",
                  "w_mixed_precision_prop", "is_w_quantized"});
      package_quantization::exception exception;
      if (const YAML::Node name = one["name"])
        exception.name = pattern_of(name, text_of(name, "name"), "name");
      if (const YAML::Node type = one["type"]) {
        const std::string word = text_of(type, "type");
        if (word != "linear" && word != "embedding")
          refuse_at(type, "type: " + er::quoted(word) + ", expected linear or embedding");
        exception.embedding = word == "embedding";
      }
      if (!exception.name && !exception.embedding)
        refuse_at(one, "an override has neither name nor type");
      exception.keys = read_function(one, exception.function);
      package_function whole = result.function;
      // Those before it that are about the same modules.
      for (const auto& before : result.overrides) {
        if (before.name == exception.name && before.embedding == exception.embedding)
          merge(whole, before.function, before.keys);
      }
      merge(whole, exception.function, exception.keys);
      check_format(one, whole);
      result.overrides.push_back(std::move(exception));
    }
  }

  static bool is_loss(const std::string& key, const YAML::Node& value) {
    return key.starts_with("loss_") && value.IsMap();
  }

  package_objective read_objective(const YAML::Node& map) const {
    check_keys(map, "kd_configuration", {"method", "loss_task_alpha"}, &is_loss);
    check_method(map, "KD");
    package_objective result;
    constexpr auto weight = support::not_negative_real<double>;
    if (const YAML::Node task = map["loss_task_alpha"])
      result.task = number_of(task, "loss_task_alpha", weight);
    std::size_t losses = 0;
    for (const auto& item : map) {
      if (!is_loss(item.first.Scalar(), item.second)) continue;
      read_loss(item.first.Scalar(), item.second, result);
      ++losses;
    }
    if (losses == 0) refuse_at(map, "kd_configuration has no loss_1");
    return result;
  }

  void read_loss(const std::string& name, const YAML::Node& map, package_objective& out) const {
    check_keys(
        map, name,
        {"loss_type", "loss_function", "alpha", "temperature", "padding_id", "use_entropy",
         "confidence_k", "reduction", "normalize", "layer_index", "layer_index_adaptive_metric",
         "layer_index_adaptive_topk", "is_router_logits", "self_relation_distill_component"});
    const YAML::Node type_at = map["loss_type"], function_at = map["loss_function"];
    const std::string type = type_at ? text_of(type_at, "loss_type") : "logits";
    const std::string function =
        function_at ? text_of(function_at, "loss_function") : "compute_kld_reverse";
    const YAML::Node function_or_map = function_at ? function_at : map;
    require(map, "padding_id", "-100", "the data's labels have it");
    const double alpha =
        map["alpha"] ? number_of(map["alpha"], "alpha", support::not_negative_real<double>) : 0.5;
    const er::reduction how = reduction_of(map);
    // Files that the package itself has written name every key, those of other losses too.
    const auto unused = [&](std::initializer_list<std::pair<const char*, const char*>> keys) {
      for (const auto& [key, otherwise] : keys) {
        const YAML::Node node = map[key];
        if (node && !has_default(node, key, otherwise))
          refuse_at(node, std::string{key} + ": a loss of " + type + " has none");
      }
    };
    unused({{"is_router_logits", "false"}, {"self_relation_distill_component", "value"}});
    if (type == "logits") {
      if (out.logits) refuse_at(map, name + ": a second loss between logits");
      unused({{"normalize", "false"},
              {"layer_index", ""},
              {"layer_index_adaptive_metric", "cosine_similarity"},
              {"layer_index_adaptive_topk", "3"}});
      package_logits loss{.weight = alpha, .how = how};
      using enum package_logits::divergence;
      const bool entropy = !map["use_entropy"] || flag_of(map["use_entropy"], "use_entropy");
      if (function == "compute_kld_forward") {
        loss.what = forward;
      } else if (function == "compute_kld_reverse") {
        loss.what = reverse;
      } else if (function == "compute_kld_confidence") {
        loss.what = entropy ? by_entropy : by_confidence;
      } else {
        refuse_at(function_or_map, "loss_function: " + er::quoted(function) +
                                       ", expected compute_kld_forward, compute_kld_reverse or "
                                       "compute_kld_confidence with loss_type logits");
      }
      if (map["temperature"]) {
        loss.temperature =
            number_of(map["temperature"], "temperature", support::positive_real<double>);
      }
      if (map["confidence_k"]) {
        loss.confidence_k = number_of(map["confidence_k"], "confidence_k",
                                      support::number_range<std::size_t>{2, 0xffffffffu});
      }
      out.logits = loss;
    } else if (type == "hidden_states") {
      if (out.features) refuse_at(map, name + ": a second loss between hidden states");
      unused({{"temperature", "2"}, {"use_entropy", "true"}, {"confidence_k", "5"}});
      if (function != "compute_mse") {
        refuse_at(function_or_map, "loss_function: " + er::quoted(function) +
                                       ", expected compute_mse with loss_type hidden_states");
      }
      package_features loss{.weight = alpha, .layers = {}, .how = how};
      if (map["normalize"]) loss.normalize = flag_of(map["normalize"], "normalize");
      read_layers(map, loss);
      out.features = std::move(loss);
    } else {
      refuse_at(type_at ? type_at : map,
                "loss_type: " + er::quoted(type) + ", expected logits or hidden_states");
    }
  }

  er::reduction reduction_of(const YAML::Node& map) const {
    const YAML::Node node = map["reduction"];
    const std::string word = node ? text_of(node, "reduction") : "batch_mean";
    if (word == "sum") return er::reduction::sum;
    if (word == "mean") return er::reduction::mean;
    if (word != "batch_mean")
      refuse_at(node, "reduction: " + er::quoted(word) + ", expected sum, mean or batch_mean");
    return er::reduction::batch_mean;
  }

  void read_layers(const YAML::Node& map, package_features& loss) const {
    const YAML::Node index = map["layer_index"], metric = map["layer_index_adaptive_metric"],
                     topk = map["layer_index_adaptive_topk"];
    const bool adaptive = index && index.IsScalar() && index.Scalar() == "adaptive";
    if (!adaptive) {
      for (const auto& [node, key, otherwise] :
           {std::tuple{metric, "layer_index_adaptive_metric", "cosine_similarity"},
            std::tuple{topk, "layer_index_adaptive_topk", "3"}}) {
        if (node && !has_default(node, key, otherwise))
          refuse_at(node, std::string{key} + ": layer_index is not adaptive");
      }
    }
    if (adaptive) {
      er::adaptive_layers layers;
      const std::string word =
          metric ? text_of(metric, "layer_index_adaptive_metric") : "cosine_similarity";
      if (word == "l2") {
        layers.metric = er::layer_metric::norm;
      } else if (word == "variance") {
        layers.metric = er::layer_metric::variance;
      } else if (word != "cosine_similarity") {
        refuse_at(metric, "layer_index_adaptive_metric: " + er::quoted(word) +
                              ", expected cosine_similarity, l2 or variance");
      }
      if (topk) layers.count = number_of(topk, "layer_index_adaptive_topk", support::positive);
      loss.layers = layers;
      return;
    }
    if (!index || index.IsNull()) return;  // all layers
    std::vector<er::layer_choice> choices;
    const auto add = [&](const YAML::Node& node) {
      if (!node.IsScalar()) refuse_at(node, "layer_index: expected a number or a word");
      const std::string word = node.Scalar();
      if (word == "low" || word == "mid" || word == "high") {
        choices.emplace_back(std::string_view{word});
        return;
      }
      long long number = 0;
      if (!support::read_number(word, support::number_range<long long>{-10000, 10000}, number)) {
        refuse_at(node, "layer_index: " + er::quoted(word) +
                            ", expected a number, low, mid, high, a list of those, or adaptive");
      }
      choices.emplace_back(static_cast<std::ptrdiff_t>(number));
    };
    if (index.IsSequence()) {
      for (const auto& item : index) add(item);
      if (choices.empty()) refuse_at(index, "layer_index: an empty list");
    } else {
      add(index);
    }
    loss.layers = std::move(choices);
  }
};

}  // namespace

package_config read_package_config(const std::filesystem::path& path) {
  return config_reader(path).read();
}

}  // namespace qad
