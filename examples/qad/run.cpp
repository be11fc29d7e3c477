// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "llm/utf8.hpp"
#include "loss_plot.hpp"
#include "profile.hpp"
#include "progress.hpp"
#include "quantization.hpp"
#include "stored_weights.hpp"
#include "support/number.hpp"
#include "support/system.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/atomic_file.hpp>

namespace qad {

namespace {

using json = nlohmann::ordered_json;

constexpr std::array<std::pair<method, const char*>, 4> methods{{{method::teacher, "teacher"},
                                                                 {method::rounding, "rounding"},
                                                                 {method::qat, "qat"},
                                                                 {method::qad, "qad"}}};

json method_to_json(method how) {
  return std::find_if(methods.begin(), methods.end(), [&](const auto& m) { return m.first == how; })
      ->second;
}

method method_from_json(const std::string& name) {
  for (const auto& [how, known] : methods) {
    if (name == known) return how;
  }
  throw er::io_error("no method is called " + er::quoted(name));
}

llm::architecture architecture_from_json(const std::string& name) {
  if (const auto arch = llm::find_architecture(name)) return *arch;
  throw er::io_error("no architecture is called " + er::quoted(name));
}

/// 64-bit integers pass JSON readers as text only.
std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::uint64_t from_hex(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 16); }

json read_json(const std::filesystem::path& path) {
  json result = json::parse(support::read_text(path), nullptr, false);
  if (!result.is_object()) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " is not JSON, or no object of it");
  }
  return result;
}

/// The options by which a folder goes: the file's, or those of a new run, which are written.
void claim_folder(const std::filesystem::path& folder, const run_options& options) {
  require_valid(options);
  const json wanted = to_json(options);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw er::io_error("can't make the folder " + er::quoted(folder.string(), er::longest_path) +
                       ": " + error.message());
  const std::filesystem::path path = folder / "options.json";
  if (!std::filesystem::exists(path)) {
    write_text_file(path, wanted.dump(2) + "\n");
    return;
  }
  const json there = read_json(path).value("run", json::object());
  json keys = wanted["run"];
  keys.update(there);
  for (const auto& [key, unused] : keys.items()) {
    const json other = there.value(key, json()), value = wanted["run"].value(key, json());
    if (other == value) continue;
    const auto shown = [](const json& one) {
      return er::printable(one.dump(-1, ' ', false, json::error_handler_t::replace));
    };
    throw std::invalid_argument(er::quoted(folder.string(), er::longest_path) +
                                " holds a run with another " + key + " (" + shown(other) +
                                ", asked for is " + shown(value) +
                                "): name another folder, or remove that one");
  }
}

struct file_closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

/// log.csv, continued after step `steps`: lines of later steps, and one that a kill cut off, are
/// dropped.
class run_log {
 public:
  run_log(const std::filesystem::path& path, std::uint64_t steps) : path_(path) {
    std::string kept = "step,loss,task,logits,features,gradient_norm,learning_rate\n";
    if (steps > 0 && std::filesystem::exists(path)) {
      std::istringstream lines(support::read_text(path));
      std::string line;
      std::getline(lines, line);
      for (std::uint64_t i = 0; i < steps && std::getline(lines, line); ++i) kept += line + "\n";
    }
    write_text_file(path, kept);
    file_.reset(std::fopen(path.string().c_str(), "ab"));
    if (!file_) throw er::io_error("can't write " + er::quoted(path.string(), er::longest_path));
  }

  void add(std::uint64_t step, const step_result& result) {
    const auto part = [&](std::string_view name) {
      const auto at = std::find_if(result.parts.begin(), result.parts.end(),
                                   [&](const auto& p) { return p.name == name; });
      return at == result.parts.end() ? 0.0 : at->value;
    };
    std::fprintf(file_.get(), "%llu,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g\n",
                 static_cast<unsigned long long>(step), result.loss, part("task"), part("logits"),
                 part("features"), result.gradient_norm, result.learning_rate);
  }

  void flush() {
    if (std::fflush(file_.get()) != 0 || std::ferror(file_.get()) != 0)
      throw er::io_error("can't write " + er::quoted(path_.string(), er::longest_path));
  }

 private:
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, file_closer> file_;
};

/// The trainer as the checkpoint of a folder left it, or at its beginning. Returns the seconds
/// trained so far.
void resume(trainer& run, const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return;
  const checkpoint saved = read_checkpoint(path);
  const trainer::state state = run.checkpoint();
  const bool finished = saved.first_moments.empty() && saved.second_moments.empty();
  if (saved.weights.size() != state.weights.size() ||
      (!finished && (saved.first_moments.size() != state.first_moments.size() ||
                     saved.second_moments.size() != state.second_moments.size()))) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) + " holds " +
                       std::to_string(saved.weights.size()) + " weights, expected " +
                       std::to_string(state.weights.size()));
  }
  std::copy(saved.weights.begin(), saved.weights.end(), state.weights.begin());
  if (!finished) {
    std::copy(saved.first_moments.begin(), saved.first_moments.end(), state.first_moments.begin());
    std::copy(saved.second_moments.begin(), saved.second_moments.end(),
              state.second_moments.begin());
  }
  run.restore(saved.step);
}

void save(trainer& run, const std::filesystem::path& path, const llm::vocabulary& words,
          const json& options, bool finished) {
  const trainer::state state = run.checkpoint();
  const std::string text = options["run"].dump();
  checkpoint_view view{state.steps_done, text, &words, state.weights, {}, {}};
  if (!finished) {
    view.first_moments = state.first_moments;
    view.second_moments = state.second_moments;
  }
  write_checkpoint(path, view);
}

/// quality.csv and the file of the best weights. Evaluations of steps that a run has not done, or
/// has to do again, are dropped.
class quality_log {
 public:
  quality_log(const std::filesystem::path& folder, std::uint64_t steps)
      : path_(folder / "quality.csv"), text_("step,tokens,perplexity,divergence\n") {
    if (steps == 0 || !std::filesystem::exists(path_)) return;
    for (const evaluation& one : read_quality(folder)) {
      if (one.step <= steps) add(one.step, one.tokens, one.measured);
    }
  }

  /// Whether it is the best so far.
  bool add(std::uint64_t step, std::uint64_t tokens, const quality& found) {
    char line[160];
    std::snprintf(line, sizeof line, "%llu,%llu,%.17g,%.17g\n",
                  static_cast<unsigned long long>(step), static_cast<unsigned long long>(tokens),
                  found.perplexity, found.divergence);
    text_ += line;
    write_text_file(path_, text_);
    const bool best = score(found) < best_;
    best_ = std::min(best_, score(found));
    return best;
  }

 private:
  /// The distance to the teacher; for want of one the perplexity.
  static double score(const quality& found) {
    return found.divergence > 0 ? found.divergence : found.perplexity;
  }

  std::filesystem::path path_;
  std::string text_;
  double best_ = std::numeric_limits<double>::infinity();
};

std::string name_of(const run_options& options) {
  std::string name = method_to_json(options.training.how);
  if (options.training.how != method::teacher) name += " " + options.training.recipe;
  return name;
}

void plot_run(const run_options& options, const std::filesystem::path& folder) {
  loss_plot plot;
  plot.title = name_of(options) + ", seed " + std::to_string(options.training.seed);
  plot.x_label = "step";
  plot.y_label = "cross-entropy of training batches, nats a token";
  plot.curves.push_back({"task loss", 0, false, read_log(folder, "task", 100)});
  write_text_file(folder / "loss.svg", to_svg(plot));
}

}  // namespace

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  er::atomic_file file(path);
  file.write(std::as_bytes(std::span{text}));
  file.commit();
}

json to_json(const run_options& o) {
  const shape& m = o.model;
  const training_options& t = o.training;
  json run;
  run["method"] = method_to_json(t.how);
  run["recipe"] = t.recipe;
  run["logits_loss"] = t.logits_loss;
  run["gamma_scope"] = t.gamma_scope;
  run["features"] = t.features;
  run["features_absolute"] = t.features_absolute;
  run["task_weight"] = t.task_weight;
  run["logits_weight"] = t.logits_weight;
  run["feature_weight"] = t.feature_weight;
  run["confidence_k"] = t.confidence_k;
  run["feature_layers"] = t.feature_layers;
  run["learning_rate"] = t.learning_rate;
  run["warmup_fraction"] = t.warmup_fraction;
  run["weight_decay"] = t.weight_decay;
  run["clip"] = t.clip;
  run["steps"] = t.steps;
  run["seed"] = t.seed;
  run["sequences"] = t.sequences;
  run["window"] = t.window;
  run["group"] = t.group;
  run["vocabulary"] = m.vocabulary;
  run["hidden"] = m.hidden;
  run["layers"] = m.layers;
  run["heads"] = m.heads;
  run["kv_heads"] = m.kv_heads;
  run["head_size"] = m.head_size;
  run["feed_forward"] = m.feed_forward;
  run["context"] = m.context;
  run["rope_base"] = m.rope_base;
  run["norm_epsilon"] = m.norm_epsilon;
  run["architecture"] = llm::name_of(m.arch);
  run["rope_size"] = m.rope_size;
  run["rope_factor"] = m.rope_factor;
  run["tied_head"] = m.tied_head;
  run["biases"] = m.biases;
  run["rope_divisors"] = m.rope_divisors;
  run["split_block"] = o.split.block;
  run["split_every"] = o.split.every;
  run["text"] = hex(o.text);
  run["teacher"] = hex(o.teacher);
  run["validation_tokens"] = o.validation_tokens;
  run["evaluate_every"] = o.evaluate_every;
  // Runs of a text alone have neither, as ever.
  if (!o.data.empty()) {
    run["data"] = o.data;
    run["stored_teacher"] = t.stored_teacher;
  }
  json result;
  result["run"] = run;
  result["text_files"] = o.text_files;
  if (!o.data.empty()) result["data_files"] = o.data_files;
  result["teacher_folder"] = o.teacher_folder;
  result["checkpoint_every"] = o.checkpoint_every;
  result["recompute"] = o.training.recompute;
  return result;
}

namespace {

/// The member `key` of an object of options.json as a T: of its type, and where it is a number, one
/// that T holds. Throws edgerazor::io_error naming key and value.
template <class T>
T member(const json& object, const char* key) {
  const auto found = object.find(key);
  const bool there = found != object.end();
  bool fits = there;
  if constexpr (std::same_as<T, bool>) {
    fits = there && found->is_boolean();
  } else if constexpr (std::integral<T>) {
    fits = there && found->is_number_unsigned() &&
           found->template get<std::uint64_t>() <= std::numeric_limits<T>::max();
  } else if constexpr (std::floating_point<T>) {
    fits = there && found->is_number();
  } else if constexpr (std::same_as<T, std::string>) {
    fits = there && found->is_string();
  } else {
    fits = there && found->is_array() &&
           std::all_of(found->begin(), found->end(), [](const json& e) { return e.is_string(); });
  }
  if (fits) return found->template get<T>();
  throw er::io_error(
      std::string{"options.json: '"} + key + "' is " +
      (there ? er::printable(found->dump(-1, ' ', false, json::error_handler_t::replace))
             : std::string{"missing"}) +
      ", expected " +
      (std::same_as<T, bool>          ? "true or false"
       : std::integral<T>             ? "a whole number"
       : std::floating_point<T>       ? "a number"
       : std::same_as<T, std::string> ? "text"
                                      : "a list of texts"));
}

template <class T>
void take(const json& object, const char* key, T& value) {
  value = member<T>(object, key);
}

template <class T>
void require(const char* name, T value, const support::number_range<T>& range) {
  if (range.contains(value)) return;  // which a NaN is not
  throw std::invalid_argument(std::string{name} + " is " + support::number_text(value) +
                              ", expected " + support::range_text(range));
}

/// JSON holds UTF-8 alone.
void require_utf8(const std::string& path) {
  for (std::size_t at = 0, size = 0; at < path.size(); at += size) {
    size = llm::first_character(std::string_view{path}.substr(at)).size;
    if (llm::first_character(std::string_view{path}.substr(at)).code ==
            llm::replacement_character &&
        size == 1) {
      throw std::invalid_argument("the path " + er::quoted(path, er::longest_path) +
                                  " is not UTF-8, as options.json has to be");
    }
  }
}

}  // namespace

void require_valid(const run_options& o) {
  const training_options& t = o.training;
  using support::not_negative_real, support::positive_real;
  require("learning_rate", t.learning_rate, positive_real<double>);
  require("warmup_fraction", t.warmup_fraction, support::fraction);
  require("weight_decay", t.weight_decay, not_negative_real<double>);
  require("clip", t.clip, positive_real<double>);
  require("task_weight", t.task_weight, not_negative_real<double>);
  require("logits_weight", t.logits_weight, not_negative_real<double>);
  require("feature_weight", t.feature_weight, not_negative_real<double>);
  require("steps", t.steps, support::positive);
  require("sequences", t.sequences, support::positive);
  require("checkpoint_every", o.checkpoint_every, support::positive);
  require("split_block", o.split.block, support::positive);
  require("split_every", o.split.every, {2, 0xffffffffu});
  require("rope_base", o.model.rope_base, positive_real<double>);
  require("rope_factor", o.model.rope_factor, positive_real<double>);
  require("group", t.group, support::positive);
  if (t.window != 0) require("window", t.window, {1, o.model.context});
  if (std::string_view scope = t.gamma_scope;
      scope != "batch" && scope != "sample" && scope != "token") {
    throw std::invalid_argument("gamma_scope is " + er::quoted(scope) +
                                ", expected batch, sample or token");
  }
  require("norm_epsilon", o.model.norm_epsilon, {1e-30f, 1.0f});
  require_valid(o.model);
  if (t.sequences % trainer::shards != 0) {
    throw std::invalid_argument("a batch of " + std::to_string(t.sequences) +
                                " sequences, expected a multiple of " +
                                std::to_string(trainer::shards));
  }
  if (t.how == method::qad) {
    const bool logits = t.logits_loss != "none" && t.logits_weight > 0;
    if (t.logits_loss == "eakld") require("confidence_k", t.confidence_k, {2, o.model.vocabulary});
    if (t.features) require("feature_layers", t.feature_layers, support::positive);
    if (!logits && !(t.features && t.feature_weight > 0) && t.task_weight == 0)
      throw std::invalid_argument("every loss has the weight 0: there is nothing to learn");
    if (t.stored_teacher && (!logits || t.features)) {
      throw std::invalid_argument(
          "a file of a teacher's top k says what it predicts, for a loss between predictions of "
          "some weight, and no hidden states");
    }
  }
  if (t.stored_teacher && (t.how != method::qad || o.data.size() > 1)) {
    throw std::invalid_argument(
        "a file of a teacher's top k is for the method qad, as its only data");
  }
  if (!o.data.empty() && (t.how == method::rounding || t.how == method::teacher)) {
    throw std::invalid_argument("the method " + method_to_json(t.how).get<std::string>() +
                                " learns from no data but the text");
  }
  if (!o.data.empty()) require("window", window_of(o.model, t), {2, o.model.context});
  // At least: weights, as they are and rounded, gradients of both shards and moments, and what the
  // passes keep of a batch.
  const auto size = [](std::size_t n) { return static_cast<double>(n); };
  const shape& m = o.model;
  const double block =
      size(m.hidden) * (2 * size(m.heads) * size(m.head_size) +
                        2 * size(m.kv_heads) * size(m.head_size) + 3 * size(m.feed_forward));
  const double weights =
      (m.tied_head ? 1 : 2) * size(m.vocabulary) * size(m.hidden) + size(m.layers) * block;
  const double states =
      4 * size(m.hidden) + 3 * size(m.feed_forward) + size(m.heads) * size(window_of(m, t));
  const double kept =
      size(t.sequences) * size(window_of(m, t)) *
      (size(m.layers) * size(m.hidden) + (t.recompute ? 1 : size(m.layers)) * states);
  support::require_memory(4 * (6 * weights + kept), "training a model and batches of this size",
                          "");
  for (const std::string& path : o.text_files) require_utf8(path);
  for (const std::string& path : o.data_files) require_utf8(path);
  require_utf8(o.teacher_folder);
}

run_options run_options_from_json(const json& data) {
  try {
    run_options o;
    shape& m = o.model;
    training_options& t = o.training;
    const json run = data.value("run", json::object());
    t.how = method_from_json(member<std::string>(run, "method"));
    take(run, "recipe", t.recipe);
    take(run, "logits_loss", t.logits_loss);
    take(run, "gamma_scope", t.gamma_scope);
    take(run, "features", t.features);
    take(run, "features_absolute", t.features_absolute);
    take(run, "task_weight", t.task_weight);
    take(run, "logits_weight", t.logits_weight);
    take(run, "feature_weight", t.feature_weight);
    take(run, "confidence_k", t.confidence_k);
    take(run, "feature_layers", t.feature_layers);
    take(run, "learning_rate", t.learning_rate);
    take(run, "warmup_fraction", t.warmup_fraction);
    take(run, "weight_decay", t.weight_decay);
    take(run, "clip", t.clip);
    take(run, "steps", t.steps);
    take(run, "seed", t.seed);
    take(run, "sequences", t.sequences);
    take(run, "window", t.window);
    take(run, "group", t.group);
    take(run, "vocabulary", m.vocabulary);
    take(run, "hidden", m.hidden);
    take(run, "layers", m.layers);
    take(run, "heads", m.heads);
    take(run, "kv_heads", m.kv_heads);
    take(run, "head_size", m.head_size);
    take(run, "feed_forward", m.feed_forward);
    take(run, "context", m.context);
    take(run, "rope_base", m.rope_base);
    take(run, "norm_epsilon", m.norm_epsilon);
    m.arch = architecture_from_json(member<std::string>(run, "architecture"));
    take(run, "rope_size", m.rope_size);
    take(run, "rope_factor", m.rope_factor);
    take(run, "tied_head", m.tied_head);
    take(run, "biases", m.biases);
    take(run, "rope_divisors", m.rope_divisors);
    take(run, "split_block", o.split.block);
    take(run, "split_every", o.split.every);
    o.text = from_hex(member<std::string>(run, "text"));
    o.teacher = from_hex(member<std::string>(run, "teacher"));
    take(run, "validation_tokens", o.validation_tokens);
    take(run, "evaluate_every", o.evaluate_every);
    if (run.contains("data") || run.contains("stored_teacher")) {
      take(run, "data", o.data);
      take(run, "stored_teacher", t.stored_teacher);
      take(data, "data_files", o.data_files);
    }
    take(data, "text_files", o.text_files);
    take(data, "teacher_folder", o.teacher_folder);
    take(data, "checkpoint_every", o.checkpoint_every);
    take(data, "recompute", t.recompute);
    require_valid(o);
    return o;
  } catch (const std::invalid_argument& error) {
    throw er::io_error(std::string{"options.json: "} + error.what());
  } catch (const json::exception& error) {
    throw er::io_error(std::string{"options.json: "} + error.what());
  }
}

trained_model load_run(const std::filesystem::path& folder, bool best) {
  if (!std::filesystem::exists(folder / "options.json")) {
    throw er::io_error(er::quoted(folder.string(), er::longest_path) +
                       " is not the folder of a run: it has no options.json");
  }
  run_options options = run_options_from_json(read_json(folder / "options.json"));
  checkpoint saved = read_checkpoint(folder / (best ? "best" : "checkpoint"));
  parameters weights(options.model);
  if (saved.weights.size() != weights.values().size()) {
    throw er::io_error(er::quoted(folder.string(), er::longest_path) + ": the checkpoint holds " +
                       std::to_string(saved.weights.size()) + " weights, options.json describes " +
                       std::to_string(weights.values().size()));
  }
  std::copy(saved.weights.begin(), saved.weights.end(), weights.values().begin());
  return {std::move(options), std::move(saved.words), std::move(weights)};
}

std::uint64_t fingerprint(const weight_pages<float>& weights) {
  const shape& s = weights.shape();
  const std::vector<weight_entry> layout = weight_layout(s);
  const std::size_t all = layout.back().offset + layout.back().size();
  std::vector<float> room;
  std::uint64_t hash = fingerprint(std::span{weights.embedding(), block_offset(s, 0)});
  for (std::size_t i = 0; i < s.layers; ++i) {
    const std::size_t count = block_offset(s, i + 1) - block_offset(s, i);
    hash = fingerprint(std::span{weights.block(i, room), count}, hash);
  }
  return fingerprint(std::span{weights.tail(), all - block_offset(s, s.layers)}, hash);
}

teacher_model open_teacher(const std::filesystem::path& path) {
  teacher_model teacher;
  if (std::filesystem::exists(path / "options.json")) {
    trained_model run = load_run(path);
    teacher.options = std::move(run.options);
    teacher.words = std::move(run.words);
    teacher.weights = std::make_unique<parameters>(std::move(run.weights));
    teacher.has_run = true;
    teacher.description = "weights of its run in memory";
    return teacher;
  }
  auto weights = std::make_unique<stored_weights>(llm::checkpoint::open(path));
  teacher.options.model = weights->shape();
  teacher.words = weights->file().read_vocabulary();
  teacher.description = weights->description();
  teacher.weights = std::move(weights);
  return teacher;
}

divided_text text_of(const run_options& options) {
  const std::string text = read_text(options.text_files);
  if (fingerprint(text) != options.text) {
    throw er::io_error(
        "the text is not the one that the run was made with: files have changed, or the packaged "
        "text has");
  }
  return divide(text, options.split);
}

quality measure(const running_model& model, const weight_pages<float>* teacher,
                const run_options& options, const corpus& text, std::size_t window) {
  const running_model reference{teacher, {}};
  std::span<const token_id> tokens = text.validation;
  if (options.validation_tokens != 0)
    tokens = tokens.first(std::min(tokens.size(), options.validation_tokens));
  return evaluate(model, teacher == nullptr ? nullptr : &reference, tokens,
                  window == 0 ? window_of(options.model, options.training) : window,
                  options.training.threads);
}

quality measure(const parameters& master, std::string_view recipe,
                const weight_pages<float>* teacher, const run_options& options, const corpus& text,
                std::size_t window) {
  const weight_quantizer rule(master.shape(), recipe, options.training.group);
  parameters quantized(master.shape());
  rule.apply(master, quantized);
  return measure({&quantized, rule.states()}, teacher, options, text, window);
}

std::uint64_t batch_seed(const training_options& options) noexcept {
  return 2 * options.seed + (options.how == method::teacher ? 0 : 1);
}

run_result perform_run(const run_options& options, const corpus& text,
                       const weight_pages<float>* teacher, const std::filesystem::path& folder,
                       bool shared, bool profile, packed_batches* data) {
  if (options.data.empty() != (data == nullptr) || (options.training.stored_teacher && !data))
    throw std::invalid_argument("a run of data needs it, and another takes none");
  claim_folder(folder, options);
  const std::filesystem::path result_path = folder / "result.json",
                              checkpoint_path = folder / "checkpoint";
  if (std::filesystem::exists(result_path)) {
    const json there = read_json(result_path);
    // JSON has no infinity: it is written as null.
    const auto number = [&](const char* key) {
      const json value = there.value(key, json(0.0));
      return value.is_number() ? value.get<double>() : std::numeric_limits<double>::infinity();
    };
    return {{number("perplexity"), number("divergence")},
            number("training_seconds"),
            number("tokens_per_second")};
  }
  const training_options& how = options.training;
  const bool is_teacher = how.how == method::teacher;
  run_result result;
  if (how.how == method::rounding) {
    if (teacher == nullptr) throw std::invalid_argument("rounding needs a teacher");
    result.measured = measure(parameters(*teacher), how.recipe, teacher, options, text);
  } else {
    trainer run(options.model, how, teacher);
    resume(run, checkpoint_path);
    const json description = to_json(options);
    const std::size_t first = run.steps_done(), length = window_of(options.model, how),
                      tokens_a_step = how.sequences * length;
    const auto measure_now = [&] {
      return measure({&run.weights_in_use(), run.states()}, is_teacher ? nullptr : teacher, options,
                     text);
    };
    {
      std::optional<batches> windows;
      if (data == nullptr) windows.emplace(text.training, how.sequences, length, batch_seed(how));
      run_log log(folder / "log.csv", first);
      quality_log found(folder, first);
      training_progress progress(name_of(options) + " seed " + std::to_string(how.seed), first,
                                 how.steps, tokens_a_step, shared);
      while (run.steps_done() < how.steps) {
        const std::size_t step = run.steps_done();
        const packed_batches::batch packed =
            data == nullptr ? packed_batches::batch{(*windows)(step), {}, {}} : (*data)(step);
        const step_result one = run.step(packed.windows, packed.labels, packed.packed);
        log.add(step + 1, one);
        progress.report(step + 1, one);
        if (options.evaluate_every != 0 && (step + 1) % options.evaluate_every == 0) {
          const auto pause = progress.paused();
          const quality now = measure_now();
          progress.note("step " + std::to_string(step + 1) + ": validation perplexity " +
                        support::number_text(now.perplexity) + ", KL " +
                        support::number_text(now.divergence));
          if (found.add(step + 1, (step + 1) * tokens_a_step, now))
            save(run, folder / "best", text.tokenizer.data(), description, true);
        }
        if ((step + 1) % options.checkpoint_every == 0 && step + 1 < how.steps) {
          const auto pause = progress.paused();
          log.flush();
          save(run, checkpoint_path, text.tokenizer.data(), description, false);
        }
      }
      log.flush();
      result.training_seconds = progress.seconds();
      if (how.steps > first) {
        const std::size_t tokens = (how.steps - first) * tokens_a_step;
        result.tokens_per_second = static_cast<double>(tokens) / result.training_seconds;
        if (profile) print_times(run.times(), result.training_seconds, how.threads, tokens);
      }
    }
    save(run, checkpoint_path, text.tokenizer.data(), description, true);
    plot_run(options, folder);
    result.measured = measure_now();
  }
  json report;
  report["perplexity"] = result.measured.perplexity;
  report["divergence"] = result.measured.divergence;
  report["training_seconds"] = result.training_seconds;
  report["tokens_per_second"] = result.tokens_per_second;
  write_text_file(result_path, report.dump(2) + "\n");
  return result;
}

std::vector<evaluation> read_quality(const std::filesystem::path& folder) {
  std::istringstream lines(support::read_text(folder / "quality.csv"));
  std::string line;
  std::getline(lines, line);
  std::vector<evaluation> found;
  while (std::getline(lines, line)) {
    std::istringstream cells(line);
    std::array<std::string, 4> cell;
    for (std::string& one : cell) std::getline(cells, one, ',');
    found.push_back(
        {std::strtoull(cell[0].c_str(), nullptr, 10),
         std::strtoull(cell[1].c_str(), nullptr, 10),
         {std::strtod(cell[2].c_str(), nullptr), std::strtod(cell[3].c_str(), nullptr)}});
  }
  return found;
}

std::vector<std::pair<double, double>> read_log(const std::filesystem::path& folder,
                                                const std::string& column, std::size_t bins) {
  std::istringstream lines(support::read_text(folder / "log.csv"));
  const auto cells_of = [](const std::string& line) {
    std::vector<std::string> cells;
    std::istringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
    return cells;
  };
  std::string line;
  std::getline(lines, line);
  const std::vector<std::string> header = cells_of(line);
  const auto at =
      static_cast<std::size_t>(std::find(header.begin(), header.end(), column) - header.begin());
  std::vector<double> values;
  while (std::getline(lines, line)) {
    const std::vector<std::string> cells = cells_of(line);
    if (at >= cells.size())
      throw er::io_error(er::quoted((folder / "log.csv").string(), er::longest_path) +
                         " has no column " + er::quoted(column));
    values.push_back(std::strtod(cells[at].c_str(), nullptr));
  }
  std::vector<std::pair<double, double>> points;
  bins = std::min(bins, values.size());
  for (std::size_t bin = 0; bin < bins; ++bin) {
    const std::size_t begin = values.size() * bin / bins, end = values.size() * (bin + 1) / bins;
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += values[i];
    points.emplace_back(static_cast<double>(begin + 1 + end) / 2,
                        sum / static_cast<double>(end - begin));
  }
  return points;
}

}  // namespace qad
