// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>

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

/// The trainer as the checkpoint of a folder left it, or at its beginning. The numbers come from the
/// mapped file: a copy of them beside the trainer would be the run's peak of memory.
void resume(trainer& run, const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return;
  const mapped_checkpoint file(path);
  const checkpoint_view saved = file.view();
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

std::string name_of(const run_options& options) {
  std::string name = name_of(options.training.how);
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
                       bool shared, bool profile, packed_batches* data,
                       const weight_pages<float>* start) {
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
    result.measured = measure(parameters(start != nullptr ? *start : *teacher), how.recipe, teacher,
                              options, text);
  } else {
    trainer run(options.model, how, teacher, start);
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

}  // namespace qad
