// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "loss_plot.hpp"
#include "progress.hpp"
#include "quantization.hpp"
#include <edgerazor/core/contract.hpp>
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
  throw er::io_error("no method is called '" + name + "'");
}

/// 64-bit integers pass JSON readers as text only.
std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::uint64_t from_hex(const json& text) {
  return std::strtoull(text.get<std::string>().c_str(), nullptr, 16);
}

std::string read_text_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw er::io_error("can't read '" + path.string() + "'");
  return {std::istreambuf_iterator<char>(file), {}};
}

json read_json(const std::filesystem::path& path) {
  json result = json::parse(read_text_file(path), nullptr, false);
  if (result.is_discarded()) throw er::io_error("'" + path.string() + "' is not JSON");
  return result;
}

/// The options by which a folder goes: the file's, or those of a new run, which are written.
void claim_folder(const std::filesystem::path& folder, const run_options& options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw er::io_error("can't make the folder '" + folder.string() + "': " + error.message());
  const json wanted = to_json(options);
  const std::filesystem::path path = folder / "options.json";
  if (!std::filesystem::exists(path)) {
    write_text_file(path, wanted.dump(2) + "\n");
    return;
  }
  const json there = read_json(path).value("run", json::object());
  for (const auto& [key, value] : wanted["run"].items()) {
    const json other = there.value(key, json());
    if (other == value) continue;
    throw std::invalid_argument("'" + folder.string() + "' holds a run with another " + key + " (" +
                                other.dump() + ", asked for is " + value.dump() +
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
      std::istringstream lines(read_text_file(path));
      std::string line;
      std::getline(lines, line);
      for (std::uint64_t i = 0; i < steps && std::getline(lines, line); ++i) kept += line + "\n";
    }
    write_text_file(path, kept);
    file_.reset(std::fopen(path.string().c_str(), "ab"));
    if (!file_) throw er::io_error("can't write '" + path.string() + "'");
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
    if (std::fflush(file_.get()) != 0) throw er::io_error("can't write '" + path_.string() + "'");
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
    throw er::io_error("'" + path.string() + "' holds " + std::to_string(saved.weights.size()) +
                       " weights, expected " + std::to_string(state.weights.size()));
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
  run["features"] = t.features;
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
  run["split_block"] = o.split.block;
  run["split_every"] = o.split.every;
  run["text"] = hex(o.text);
  run["teacher"] = hex(o.teacher);
  run["validation_tokens"] = o.validation_tokens;
  json result;
  result["run"] = run;
  result["text_files"] = o.text_files;
  result["teacher_folder"] = o.teacher_folder;
  result["checkpoint_every"] = o.checkpoint_every;
  return result;
}

run_options run_options_from_json(const json& data) {
  try {
    run_options o;
    shape& m = o.model;
    training_options& t = o.training;
    const json& run = data.at("run");
    t.how = method_from_json(run.at("method"));
    run.at("recipe").get_to(t.recipe);
    run.at("logits_loss").get_to(t.logits_loss);
    run.at("features").get_to(t.features);
    run.at("task_weight").get_to(t.task_weight);
    run.at("logits_weight").get_to(t.logits_weight);
    run.at("feature_weight").get_to(t.feature_weight);
    run.at("confidence_k").get_to(t.confidence_k);
    run.at("feature_layers").get_to(t.feature_layers);
    run.at("learning_rate").get_to(t.learning_rate);
    run.at("warmup_fraction").get_to(t.warmup_fraction);
    run.at("weight_decay").get_to(t.weight_decay);
    run.at("clip").get_to(t.clip);
    run.at("steps").get_to(t.steps);
    run.at("seed").get_to(t.seed);
    run.at("sequences").get_to(t.sequences);
    run.at("vocabulary").get_to(m.vocabulary);
    run.at("hidden").get_to(m.hidden);
    run.at("layers").get_to(m.layers);
    run.at("heads").get_to(m.heads);
    run.at("kv_heads").get_to(m.kv_heads);
    run.at("head_size").get_to(m.head_size);
    run.at("feed_forward").get_to(m.feed_forward);
    run.at("context").get_to(m.context);
    run.at("rope_base").get_to(m.rope_base);
    run.at("norm_epsilon").get_to(m.norm_epsilon);
    run.at("split_block").get_to(o.split.block);
    run.at("split_every").get_to(o.split.every);
    o.text = from_hex(run.at("text"));
    o.teacher = from_hex(run.at("teacher"));
    run.at("validation_tokens").get_to(o.validation_tokens);
    data.at("text_files").get_to(o.text_files);
    data.at("teacher_folder").get_to(o.teacher_folder);
    data.at("checkpoint_every").get_to(o.checkpoint_every);
    return o;
  } catch (const json::exception& error) {
    throw er::io_error(std::string{"options.json: "} + error.what());
  }
}

trained_model load_run(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "options.json")) {
    throw er::io_error("'" + folder.string() +
                       "' is not the folder of a run: it has no options.json");
  }
  run_options options = run_options_from_json(read_json(folder / "options.json"));
  checkpoint saved = read_checkpoint(folder / "checkpoint");
  parameters weights(options.model);
  if (saved.weights.size() != weights.values().size()) {
    throw er::io_error("'" + folder.string() + "': the checkpoint holds " +
                       std::to_string(saved.weights.size()) + " weights, options.json describes " +
                       std::to_string(weights.values().size()));
  }
  std::copy(saved.weights.begin(), saved.weights.end(), weights.values().begin());
  return {std::move(options), std::move(saved.words), std::move(weights)};
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

quality measure(const parameters& master, std::string_view recipe, const parameters* teacher,
                const run_options& options, const corpus& text, std::size_t window) {
  const weight_quantizer rule(master.shape(), recipe);
  parameters quantized(master.shape());
  rule.apply(master, quantized);
  const running_model model{&quantized, rule.states()};
  const running_model reference{teacher, {}};
  std::span<const token_id> tokens = text.validation;
  if (options.validation_tokens != 0)
    tokens = tokens.first(std::min(tokens.size(), options.validation_tokens));
  return evaluate(model, teacher == nullptr ? nullptr : &reference, tokens,
                  window == 0 ? options.model.context : window, options.training.threads);
}

run_result perform_run(const run_options& options, const corpus& text, const trained_model* teacher,
                       const std::filesystem::path& folder, bool shared) {
  claim_folder(folder, options);
  const std::filesystem::path result_path = folder / "result.json",
                              checkpoint_path = folder / "checkpoint";
  if (std::filesystem::exists(result_path)) {
    const json there = read_json(result_path);
    return {{there.value("perplexity", 0.0), there.value("divergence", 0.0)},
            there.value("training_seconds", 0.0),
            there.value("tokens_per_second", 0.0)};
  }
  const training_options& how = options.training;
  const parameters* const teacher_weights = teacher == nullptr ? nullptr : &teacher->weights;
  run_result result;
  if (how.how == method::rounding) {
    if (teacher_weights == nullptr) throw std::invalid_argument("rounding needs a teacher");
    result.measured = measure(*teacher_weights, how.recipe, teacher_weights, options, text);
  } else {
    trainer run(options.model, how, teacher_weights);
    resume(run, checkpoint_path);
    const json description = to_json(options);
    const std::size_t first = run.steps_done();
    {
      // A student sees other windows than its teacher did.
      batches windows(text.training, how.sequences, options.model.context,
                      2 * how.seed + (how.how == method::teacher ? 0 : 1));
      run_log log(folder / "log.csv", first);
      training_progress progress(name_of(options) + " seed " + std::to_string(how.seed), first,
                                 how.steps, how.sequences * options.model.context, shared);
      while (run.steps_done() < how.steps) {
        const std::size_t step = run.steps_done();
        const step_result one = run.step(windows(step));
        log.add(step + 1, one);
        progress.report(step + 1, one.loss);
        if ((step + 1) % options.checkpoint_every == 0 && step + 1 < how.steps) {
          log.flush();
          save(run, checkpoint_path, text.tokenizer.data(), description, false);
        }
      }
      log.flush();
      result.training_seconds = progress.seconds();
      if (how.steps > first) {
        result.tokens_per_second =
            static_cast<double>((how.steps - first) * how.sequences * options.model.context) /
            result.training_seconds;
      }
    }
    save(run, checkpoint_path, text.tokenizer.data(), description, true);
    plot_run(options, folder);
    const bool is_teacher = how.how == method::teacher;
    result.measured =
        measure(run.master(), is_teacher ? "none" : how.recipe, teacher_weights, options, text);
  }
  json report;
  report["perplexity"] = result.measured.perplexity;
  report["divergence"] = result.measured.divergence;
  report["training_seconds"] = result.training_seconds;
  report["tokens_per_second"] = result.tokens_per_second;
  write_text_file(result_path, report.dump(2) + "\n");
  return result;
}

std::vector<std::pair<double, double>> read_log(const std::filesystem::path& folder,
                                                const std::string& column, std::size_t bins) {
  std::istringstream lines(read_text_file(folder / "log.csv"));
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
      throw er::io_error("'" + (folder / "log.csv").string() + "' has no column '" + column + "'");
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
