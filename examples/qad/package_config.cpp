// SPDX-License-Identifier: Apache-2.0
#include "package_config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <set>
#include <span>
#include <stdexcept>
#include <tuple>
#include <utility>

#include <yaml-cpp/yaml.h>

#include "support/number.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/hf_names.hpp>
#include <edgerazor/io/mapped_file.hpp>
#include <edgerazor/io/name_pattern.hpp>
#include <edgerazor/matrix/matrix_format.hpp>

namespace qad {

namespace er = edgerazor;
using er::detail::io::name_pattern;

namespace {

constexpr std::string_view weight_prefix = "weight_quant_uniform_symmetric_";
constexpr std::string_view mixed_rows = "clip_per_block_mp_int1_58_int4_static_row_wise_sparse";
constexpr std::string_view state_int8 = "state_quant_uniform_symmetric_absmax_per_block_int8";

/// The package's functions of weights that the library has formats and rules for.
struct weight_function {
  std::string_view name;  ///< behind weight_prefix
  std::string_view code;
  bool blocks;  ///< else a scale a row
};
constexpr std::array<weight_function, 7> weight_functions{{
    {"absmax_per_block_int4", "int4", true},
    {"absmax_per_block_int5", "int5", true},
    {"absmax_per_block_int8", "int8", true},
    {"absmax_per_channel_int4", "int4", false},
    {"clip_per_block_int1_58", "ternary2", true},
    {"clip_per_channel_int1_58", "ternary2", false},
    {mixed_rows, "ternary2", true},
}};

std::string known_functions() {
  std::string text;
  for (const weight_function& one : weight_functions)
    text += (text.empty() ? "" : ", ") + std::string{weight_prefix} + std::string{one.name};
  return text;
}

[[noreturn]] void refuse(const std::string& sentence) { throw std::invalid_argument(sentence); }

/// The format's name, or std::invalid_argument with the key that is wrong.
std::string format_of_function(const package_function& f) {
  const weight_function* found = nullptr;
  for (const weight_function& one : weight_functions) {
    if (f.weights.starts_with(weight_prefix) &&
        std::string_view{f.weights}.substr(weight_prefix.size()) == one.name)
      found = &one;
  }
  if (found == nullptr) {
    refuse("weight_function " + er::quoted(f.weights, 200) +
           " is none that has a format here, expected " + known_functions());
  }
  if (found->code == "ternary2" && f.factor != 2 && f.factor != -1) {
    refuse("w_scale_factor is " + support::number_text(f.factor) +
           ", and ternary formats have a scale of 2 times the mean");
  }
  const bool mixed = found->name == mixed_rows;
  if (!mixed && f.proportion > 0) {
    refuse("w_mixed_precision_prop is " + support::number_text(f.proportion) +
           ", and weight_function " + er::quoted(f.weights, 200) + " mixes nothing");
  }
  if (!found->blocks && f.group != -1) {
    refuse("w_block_size is " + std::to_string(f.group) + ", and weight_function " +
           er::quoted(f.weights, 200) + " has no blocks");
  }
  std::string suffix = "_row";
  if (found->blocks) {
    suffix = "_g" + std::to_string(f.group);
    if (f.group < 1 || !er::matrix_format::parse("int4" + suffix)) {
      refuse("w_block_size is " + std::to_string(f.group) +
             ", expected a multiple of 4 up to 65536");
    }
  }
  if (!mixed || f.proportion == 0) return std::string{found->code} + suffix;
  const double every = 1 / f.proportion;
  if (!(f.proportion > 0 && f.proportion <= 1) || every != std::round(every) || every > 65536) {
    refuse("w_mixed_precision_prop is " + support::number_text(f.proportion) +
           ", expected 0, or 1 divided by a whole number");
  }
  if (every == 1) return "int4" + suffix;
  return "int4" + suffix + "+ternary2" + suffix + ":every_" + support::number_text(every) + "_rows";
}

bool is_match(const std::string& pattern, std::string_view name) {
  return name_pattern::compile(pattern).value().matches(name);  // it was compiled when it was read
}

/// The keys of `from` that are in `keys`.
void merge(package_function& into, const package_function& from,
           const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    if (key == "weight_function") into.weights = from.weights;
    if (key == "w_scale_factor") into.factor = from.factor;
    if (key == "w_block_size") into.group = from.group;
    if (key == "w_mixed_precision_prop") into.proportion = from.proportion;
  }
}

/// Reads one file.
class config_reader {
 public:
  explicit config_reader(const std::filesystem::path& path)
      : name_(er::quoted(path.string(), er::longest_path)) {
    const er::mapped_file file = er::mapped_file::open(path, er::file_access::read);
    if (file.bytes().size() > (1u << 20))
      throw er::io_error(name_ + " has more than 1 MiB, expected a configuration");
    const std::string text{reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
    try {
      root_ = YAML::Load(text);
    } catch (const YAML::Exception& error) {
      throw er::io_error(name_ + ", line " + std::to_string(error.mark.line + 1) +
                         ": it is no YAML: " + er::printable(error.msg, 200));
    }
  }

  package_config read() const {
    package_config result;
    if (!root_.IsMap()) {
      throw er::io_error(name_ +
                         ": expected qat_configuration, kd_configuration or both, as a map");
    }
    if (root_["qat_configuration"] || root_["kd_configuration"]) {
      check_keys(root_, "the file", {"qat_configuration", "kd_configuration"});
      if (const YAML::Node qat = root_["qat_configuration"])
        result.quantization = read_quantization(qat);
      if (const YAML::Node kd = root_["kd_configuration"]) result.objective = read_objective(kd);
      return result;
    }
    const bool is_qat = root_["select"] || root_["function"] || root_["training"] ||
                        (root_["method"] && text_of(root_["method"], "method") == "QAT");
    if (is_qat) {
      result.quantization = read_quantization(root_);
    } else {
      result.objective = read_objective(root_);
    }
    return result;
  }

 private:
  [[noreturn]] void refuse_at(const YAML::Node& at, const std::string& sentence) const {
    throw er::io_error(name_ + ", line " + std::to_string(at.Mark().line + 1) + ": " + sentence);
  }

  /// All keys of a map are scalars, there once, and known; or, where `other` is not null, taken by
  /// it.
  void check_keys(const YAML::Node& map, const std::string& where,
                  std::initializer_list<std::string_view> known,
                  bool (*other)(const std::string&, const YAML::Node&) = nullptr) const {
    if (!map.IsMap()) refuse_at(map, where + " is no map");
    std::set<std::string> seen;
    for (const auto& item : map) {
      if (!item.first.IsScalar()) refuse_at(item.first, where + " has a key that is no word");
      const std::string key = item.first.Scalar();
      if (!seen.insert(key).second)
        refuse_at(item.first, "the key " + er::quoted(key) + " is there twice");
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      if (other != nullptr && other(key, item.second)) continue;
      refuse_at(item.first,
                "the key " + er::quoted(key) + " of " + where + " is none that this program obeys");
    }
  }

  std::string text_of(const YAML::Node& node, const std::string& key) const {
    if (node.IsNull()) return {};
    if (!node.IsScalar()) refuse_at(node, key + ": expected a word");
    return node.Scalar();
  }
  template <class T>
  T number_of(const YAML::Node& node, const std::string& key,
              const support::number_range<T>& range) const {
    T value{};
    if (!node.IsScalar() || !support::read_number(node.Scalar(), range, value)) {
      refuse_at(node, key + ": expected " + support::range_text(range) + ", got " +
                          (node.IsScalar() ? er::quoted(node.Scalar()) : "no number"));
    }
    return value;
  }
  bool flag_of(const YAML::Node& node, const std::string& key) const {
    bool value = false;
    if (!node.IsScalar() || !YAML::convert<bool>::decode(node, value))
      refuse_at(node, key + ": expected true or false");
    return value;
  }
  std::vector<std::string> words_of(const YAML::Node& node, const std::string& key) const {
    std::vector<std::string> words;
    if (!node.IsSequence()) refuse_at(node, key + ": expected a list of words");
    for (const auto& item : node) {
      if (!item.IsScalar()) refuse_at(item, key + ": expected a list of words");
      words.push_back(item.Scalar());
    }
    return words;
  }
  std::string pattern_of(const YAML::Node& at, const std::string& text,
                         const std::string& key) const {
    if (!name_pattern::compile(text))
      refuse_at(at, key + ": " + er::quoted(text) + " is no pattern that this program follows");
    return text;
  }

  /// The value, which must be this.
  void require(const YAML::Node& map, const char* key, std::string_view value,
               const char* why) const {
    const YAML::Node node = map[key];
    if (node && text_of(node, key) != value) {
      refuse_at(node, std::string{key} + ": " + er::quoted(text_of(node, key)) + ", expected " +
                          std::string{value} + ": " + why);
    }
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

  /// Whether the value is that of a key that is absent: a number, "true", "false" or a word.
  bool has_default(const YAML::Node& node, const std::string& key,
                   const std::string& otherwise) const {
    if (otherwise == "true" || otherwise == "false")
      return flag_of(node, key) == (otherwise == "true");
    const std::string text = text_of(node, key);
    double value = 0, expected = 0;
    const support::number_range<double> any{-1e9, 1e9};
    if (support::read_number(text, any, value) && support::read_number(otherwise, any, expected))
      return value == expected;
    return text == otherwise;
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

  std::string name_;
  YAML::Node root_;
};

}  // namespace

std::string package_quantization::format_of(std::string_view module, bool is_embedding) const {
  const auto any = [module](const std::vector<std::string>& patterns) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [module](const std::string& one) { return is_match(one, module); });
  };
  if (any(excluded)) return {};
  if (!(is_embedding ? embedding : linear) && !any(targets)) return {};
  package_function f = function;
  for (const exception& one : overrides) {
    if (one.name && !is_match(*one.name, module)) continue;
    if (one.embedding && *one.embedding != is_embedding) continue;
    merge(f, one.function, one.keys);
  }
  return format_of_function(f);
}

er::recipe package_quantization::recipe(std::size_t layers) const {
  constexpr std::array<er::hf_role, 7> roles{
      er::hf_role::query, er::hf_role::key, er::hf_role::value, er::hf_role::attention_output,
      er::hf_role::gate,  er::hf_role::up,  er::hf_role::down};
  constexpr er::hf_architecture family = er::hf_architecture::qwen3;
  const std::size_t ending = std::string_view{".weight"}.size();
  er::recipe result;
  const auto add = [&](const er::hf_tensor_name& tensor) {
    const std::string name = er::hf_name(family, tensor);
    const std::string format = format_of(std::string_view{name}.substr(0, name.size() - ending),
                                         tensor.role == er::hf_role::embedding);
    if (format.empty()) return;
    result.set(name, format).set(er::gguf_name(tensor), format);
  };
  add({.role = er::hf_role::embedding});
  add({.role = er::hf_role::head});
  for (std::size_t i = 0; i < layers; ++i) {
    for (const er::hf_role role : roles) add({.role = role, .layer = i});
  }
  if (!function.activations.empty()) {
    result.activation_bits = 8;
    result.activation_group = static_cast<std::size_t>(function.activation_group);
  }
  if (!function.cache.empty() && attention) {
    result.kv_bits = 8;
    result.kv_group = static_cast<std::size_t>(function.cache_group);
  }
  if (function.group < 1 || result.kv_group == 0) return result;
  const er::recipe_options options{.group = static_cast<std::size_t>(function.group),
                                   .kv_group = result.kv_group};
  for (const std::string_view name : er::recipe_names) {
    const er::recipe named = *er::find_recipe(name, options);
    const auto same = [&](const er::recipe::rule& rule) {
      return named.weight_format(rule.pattern) == rule.format;
    };
    // A weight that is not quantized has no rule here, and one in every recipe but "none".
    if (result.rules.size() == 2 * (2 + layers * roles.size()) &&
        std::all_of(result.rules.begin(), result.rules.end(), same) &&
        named.activation_bits == result.activation_bits &&
        named.activation_group == result.activation_group && named.kv_bits == result.kv_bits)
      return named;
  }
  return result;
}

er::distillation_recipe package_objective::published_form() const {
  er::distillation_recipe result{.task = task, .logits = 0, .features = 0};
  const auto other = [](const std::string& what) {
    refuse(what + ", and the paper's objective has another; see published_objectives.hpp");
  };
  if (logits) {
    if (logits->what != package_logits::divergence::by_entropy) {
      other("loss_function is no compute_kld_confidence with use_entropy");
    }
    if (logits->temperature != 1)
      other("temperature is " + support::number_text(logits->temperature));
    if (logits->how != er::reduction::batch_mean) other("reduction of logits is no batch_mean");
    result.logits = logits->weight;
    result.confidence_k = logits->confidence_k;
  }
  if (features) {
    const auto* const adaptive = std::get_if<er::adaptive_layers>(&features->layers);
    if (adaptive == nullptr) {
      other("layer_index is not adaptive");
    } else {
      result.metric = adaptive->metric;
      result.layers = adaptive->count;
    }
    if (features->normalize) other("normalize is true");
    if (features->how != er::reduction::batch_mean) other("reduction of features is no batch_mean");
    result.features = features->weight;
  }
  return result;
}

configured_training training_of(const package_config& config, std::size_t layers) {
  configured_training result;
  const auto cannot = [](const std::string& what) {
    refuse("the configuration has " + what + ", which this trainer has not");
  };
  if (config.quantization) {
    const er::recipe recipe = config.quantization->recipe(layers);
    if (recipe.name.empty())
      cannot(
          "formats of weights and states (weight_function, target_types, overrides) that are "
          "no named recipe's");
    result.recipe = recipe.name;
    result.group = recipe.activation_group;
    result.kv_group = recipe.kv_group;
  }
  if (!config.objective) return result;
  const package_objective& objective = *config.objective;
  result.distils = true;
  result.task_weight = objective.task;
  if (objective.logits) {
    using enum package_logits::divergence;
    const package_logits& loss = *objective.logits;
    if (loss.what == by_confidence) cannot("use_entropy: false");
    if (loss.temperature != 1) cannot("temperature " + support::number_text(loss.temperature));
    if (loss.how != er::reduction::batch_mean) cannot("another reduction than batch_mean");
    result.logits_loss = loss.what == forward   ? "forward"
                         : loss.what == reverse ? "reverse"
                                                : "eakld";
    result.logits_weight = loss.weight;
    result.confidence_k = loss.confidence_k;
  }
  if (objective.features) {
    const package_features& loss = *objective.features;
    const auto* const adaptive = std::get_if<er::adaptive_layers>(&loss.layers);
    if (adaptive == nullptr || adaptive->metric != er::layer_metric::cosine_similarity)
      cannot("another layer_index than adaptive by cosine_similarity");
    if (loss.normalize) cannot("normalize: true");
    if (loss.how != er::reduction::batch_mean) cannot("another reduction than batch_mean");
    result.features = true;
    result.feature_weight = loss.weight;
    result.feature_layers = adaptive == nullptr ? 0 : adaptive->count;
  }
  return result;
}

package_config read_package_config(const std::filesystem::path& path) {
  return config_reader(path).read();
}

}  // namespace qad
