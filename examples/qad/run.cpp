// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint.hpp"
#include "loss_plot.hpp"
#include "profile.hpp"
#include "progress.hpp"
#include "quantization.hpp"
#include "support/number.hpp"
#include "text_file.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

namespace {

using json = nlohmann::ordered_json;

/// The options by which a folder goes: the file's, or those of a new run, which are written.
/// Changes of the rate that the folder knows of are taken over where none are given.
void claim_folder(const std::filesystem::path& folder, run_options& options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw er::io_error("can't make the folder " + er::quoted(folder.string(), er::longest_path) +
                       ": " + error.message());
  const std::filesystem::path path = folder / "options.json";
  if (!std::filesystem::exists(path)) {
    write_text_file(path, to_json(options).dump(2) + "\n");
    return;
  }
  const json file = read_json(path), there = file.value("run", json::object());
  if (options.training.rate_changes.empty() && there.contains("rate_changes"))
    options.training.rate_changes = run_options_from_json(file).training.rate_changes;
  const json wanted = to_json(options)["run"];
  json keys = wanted;
  keys.update(there);
  for (const auto& [key, unused] : keys.items()) {
    const json other = there.value(key, json()), value = wanted.value(key, json());
    if (other == value) continue;
    const auto shown = [](const json& one) {
      return er::printable(one.dump(-1, ' ', false, json::error_handler_t::replace));
    };
    throw std::invalid_argument(
        er::quoted(folder.string(), er::longest_path) + " holds a run with another " + key + " (" +
        shown(other) + ", asked for is " + shown(value) +
        "): name another folder, or remove that one" +
        (key == "learning_rate" ? "; --resume-with-learning-rate goes on with another" : ""));
  }
}

/// From `step` on, that of the last checkpoint, options.resume_learning_rate holds: noted in
/// options.json before anything is trained by it. The same call again changes nothing.
void change_rate(const std::filesystem::path& folder, run_options& options, std::uint64_t step) {
  std::vector<rate_change>& changes = options.training.rate_changes;
  const double rate = options.resume_learning_rate, now = changes.empty()
                                                              ? options.training.learning_rate
                                                              : changes.back().learning_rate;
  if (rate == now) return;
  std::erase_if(changes, [&](const rate_change& one) { return one.from_step >= step; });
  changes.push_back({step, rate});
  // The best weights may be of the steps that are not taken again.
  if (const std::filesystem::path best = folder / "best";
      std::filesystem::exists(best) && mapped_checkpoint(best).view().step > step)
    std::filesystem::remove(best);
  json file = read_json(folder / "options.json");
  file["run"]["rate_changes"] = to_json(options)["run"]["rate_changes"];
  write_text_file(folder / "options.json", file.dump(2) + "\n");
}

/// The trainer as a checkpoint left it. The numbers come from the mapped file: a copy of them
/// beside the trainer would be the run's peak of memory.
void resume(trainer& run, const checkpoint_view& saved, const std::filesystem::path& path) {
  const trainer::state state = run.checkpoint();
  const bool finished = saved.first_moments.empty() && saved.second_moments.empty();
  if (saved.weights.size() != state.weights.size() ||
      (!finished && (saved.moments != state.moments ||
                     saved.first_moments.size() != state.first_moments.size() ||
                     saved.second_moments.size() != state.second_moments.size()))) {
    const auto text = [](std::size_t weights, moment_type moments, bool there) {
      return std::to_string(weights) + " weights with " +
             (there ? "an optimizer's state of " + std::string{form_of(moments).name}
                    : std::string{"no optimizer's state"});
    };
    throw er::io_error(er::quoted(path.string(), er::longest_path) + " holds " +
                       text(saved.weights.size(), saved.moments, !finished) + ", expected " +
                       text(state.weights.size(), state.moments, !state.first_moments.empty()));
  }
  std::copy(saved.weights.begin(), saved.weights.end(), state.weights.begin());
  if (!finished) {
    std::copy(saved.first_moments.begin(), saved.first_moments.end(), state.first_moments.begin());
    std::copy(saved.second_moments.begin(), saved.second_moments.end(),
              state.second_moments.begin());
  }
  run.restore(saved.step);
}

/// All processes get the state of the first.
void share_state(trainer& run, process_group& group) {
  const trainer::state state = run.checkpoint();
  std::uint64_t step = state.steps_done;
  group.broadcast(std::as_writable_bytes(std::span{&step, 1}));
  for (const std::span<std::byte> bytes :
       {std::as_writable_bytes(state.weights), state.first_moments, state.second_moments})
    group.broadcast(bytes);
  run.restore(step);
}

void save(trainer& run, const std::filesystem::path& path, const llm::vocabulary& words,
          const json& options, bool finished) {
  const trainer::state state = run.checkpoint();
  const std::string text = options["run"].dump();
  checkpoint_view view{state.steps_done, text, &words, state.weights, state.moments, {}, {}};
  if (!finished) {
    view.first_moments = state.first_moments;
    view.second_moments = state.second_moments;
  }
  write_checkpoint(path, view);
}

std::string name_of(const run_options& options) {
  std::string name = name_of(options.training.how);
  if (options.training.recipe != "none" || options.training.how == method::rounding)
    name += " " + options.training.recipe;
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

/// What is beside the training of a run: its records, its checkpoints, and how far it has come.
class run_records {
 public:
  /// Refers to all it is given.
  run_records(const run_options& options, const corpus& text, const weight_pages<float>* teacher,
              const std::filesystem::path& folder, trainer& run, bool shared)
      : options_(options),
        text_(text),
        teacher_(options.training.how == method::teacher ? nullptr : teacher),
        folder_(folder),
        run_(run),
        description_(to_json(options)),
        first_(run.steps_done()),
        tokens_a_step_(options.training.sequences * window_of(options.model, options.training)),
        log_(folder / "log.csv", first_),
        found_(folder, first_),
        progress_(std::in_place,
                  name_of(options) + " seed " + std::to_string(options.training.seed), first_,
                  options.training.steps, tokens_a_step_, shared) {}

  /// After a step.
  void add(const step_result& one) {
    const std::size_t done = run_.steps_done();
    log_.add(done, one);
    progress_->report(done, one);
    if (options_.evaluate_every != 0 && done % options_.evaluate_every == 0) {
      const auto pause = progress_->paused();
      const quality now = measure_now();
      progress_->note("step " + std::to_string(done) + ": validation perplexity " +
                      support::number_text(now.perplexity) + ", KL " +
                      support::number_text(now.divergence));
      if (found_.add({done, done * tokens_a_step_, now}))
        save(run_, folder_ / "best", text_.tokenizer.data(), description_, true);
    }
    if (done % options_.checkpoint_every == 0 && done < options_.training.steps) {
      const auto pause = progress_->paused();
      log_.flush();
      save(run_, folder_ / "checkpoint", text_.tokenizer.data(), description_, false);
    }
  }

  /// After the last step.
  run_result finish(bool profile) {
    const training_options& how = options_.training;
    log_.flush();
    run_result result;
    result.training_seconds = progress_->seconds();
    if (how.steps > first_) {
      const std::size_t tokens = (how.steps - first_) * tokens_a_step_;
      result.tokens_per_second = static_cast<double>(tokens) / result.training_seconds;
      if (profile) print_times(run_.times(), result.training_seconds, how.threads, tokens);
    }
    progress_.reset();
    save(run_, folder_ / "checkpoint", text_.tokenizer.data(), description_, true);
    plot_run(options_, folder_);
    result.measured = measure_now();
    return result;
  }

 private:
  quality measure_now() {
    return measure({&run_.weights_in_use(), run_.states()}, teacher_, options_, text_);
  }

  const run_options& options_;
  const corpus& text_;
  const weight_pages<float>* teacher_;
  const std::filesystem::path& folder_;
  trainer& run_;
  nlohmann::ordered_json description_;
  std::size_t first_, tokens_a_step_;
  run_log log_;
  quality_log found_;
  std::optional<training_progress> progress_;
};

/// result.json of a run that is finished.
run_result read_result(const std::filesystem::path& path) {
  const json there = read_json(path);
  // JSON has no infinity: it is written as null.
  const auto number = [&](const char* key) {
    const json value = there.value(key, json(0.0));
    return value.is_number() ? value.get<double>() : std::numeric_limits<double>::infinity();
  };
  return {{number("perplexity"), number("divergence")},
          number("training_seconds"),
          number("tokens_per_second")};
}

void write_result(const std::filesystem::path& path, const run_result& result) {
  json report;
  report["perplexity"] = result.measured.perplexity;
  report["divergence"] = result.measured.divergence;
  report["training_seconds"] = result.training_seconds;
  report["tokens_per_second"] = result.tokens_per_second;
  write_text_file(path, report.dump(2) + "\n");
}

/// What the first process has found in a run's folder, for all of them.
struct folder_state {
  bool finished = false;
  std::uint64_t rate_changes = 0;
};

}  // namespace

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
  training_options how = options.training;
  how.how = method::rounding;
  how.recipe = recipe;
  return measure(master, *make_form(master.shape(), how), teacher, options, text, window);
}

quality measure(const parameters& master, const layer_form& form,
                const weight_pages<float>* teacher, const run_options& options, const corpus& text,
                std::size_t window) {
  const std::size_t last = options.training.steps - 1;
  parameters quantized(master.shape());
  for (std::size_t i = 0; i < master.entries().size(); ++i) form.apply(i, master, quantized, last);
  return measure({&quantized, form.states(last)}, teacher, options, text, window);
}

std::uint64_t batch_seed(const training_options& options) noexcept {
  return 2 * options.seed + (options.how == method::teacher ? 0 : 1);
}

run_result perform_run(const run_options& asked, const corpus& text,
                       const weight_pages<float>* teacher, const std::filesystem::path& folder,
                       bool shared, bool profile, packed_batches* data,
                       const weight_pages<float>* start) {
  if (asked.data.empty() != (data == nullptr) || (asked.training.stored_teacher && !data))
    throw std::invalid_argument("a run of data needs it, and another takes none");
  require_valid(asked);
  run_options options = asked;
  training_options& how = options.training;
  process_group* const group = how.ranks;
  const bool first_process = group == nullptr || group->rank() == 0;
  const std::filesystem::path result_path = folder / "result.json",
                              checkpoint_path = folder / "checkpoint";
  folder_state state;
  std::optional<mapped_checkpoint> saved;
  if (first_process) {
    claim_folder(folder, options);
    state.finished = std::filesystem::exists(result_path);
    if (!state.finished && std::filesystem::exists(checkpoint_path)) saved.emplace(checkpoint_path);
    if (options.resume_learning_rate != 0) {
      if (state.finished) {
        throw std::invalid_argument(er::quoted(folder.string(), er::longest_path) +
                                    " holds a run that is finished: no rate can change it");
      }
      change_rate(folder, options, saved ? saved->view().step : 0);
    }
    state.rate_changes = how.rate_changes.size();
  }
  if (group != nullptr) {
    group->broadcast(std::as_writable_bytes(std::span{&state, 1}));
    how.rate_changes.resize(state.rate_changes);
    group->broadcast(std::as_writable_bytes(std::span{how.rate_changes}));
  }
  if (state.finished) return first_process ? read_result(result_path) : run_result{};
  run_result result;
  if (how.how == method::rounding) {
    if (teacher == nullptr) throw std::invalid_argument("rounding needs a teacher");
    if (!first_process) return result;
    result.measured = measure(parameters(start != nullptr ? *start : *teacher), how.recipe, teacher,
                              options, text);
  } else {
    trainer run(options.model, how, teacher, start);
    if (saved) resume(run, saved->view(), checkpoint_path);
    saved.reset();
    if (group != nullptr) share_state(run, *group);
    std::optional<batches> windows;
    if (data == nullptr) {
      windows.emplace(text.training, how.sequences, window_of(options.model, how), batch_seed(how));
    }
    std::optional<run_records> records;
    if (first_process) records.emplace(options, text, teacher, folder, run, shared);
    while (run.steps_done() < how.steps) {
      const std::size_t step = run.steps_done();
      const packed_batches::batch packed =
          data == nullptr ? packed_batches::batch{(*windows)(step), {}, {}} : (*data)(step);
      const step_result one = run.step(packed.windows, packed.labels, packed.packed);
      if (records) records->add(one);
    }
    if (!records) return result;
    result = records->finish(profile);
  }
  write_result(result_path, result);
  return result;
}

}  // namespace qad
