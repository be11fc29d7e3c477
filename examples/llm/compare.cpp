// SPDX-License-Identifier: Apache-2.0
/// The sub-command `compare`: what each recipe saves and what it costs, side by side.
#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "calibration.hpp"
#include "checkpoint.hpp"
#include "convert.hpp"
#include "default_text.hpp"
#include "options.hpp"
#include "quality.hpp"
#include "report.hpp"
#include "speed.hpp"
#include "support/kernel_choice.hpp"
#include "support/named_files.hpp"
#include "support/system.hpp"
#include "table.hpp"
#include "temporary_folder.hpp"
#include "worker_process.hpp"

namespace llm {

namespace {

struct row {
  std::string name;
  std::filesystem::path file;
  std::size_t file_bytes = 0;
  std::optional<double> calibration_seconds = {};
  speed pace = {};
  quality cost = {};
};

std::string read_text(const std::string& path) {
  return path.empty() ? std::string{default_text} : support::read_text(path);
}

/// The 16-bit type in which a model loses least: its own, or float16.
std::string sixteen_bits(const model_file& file) {
  const stored_tensor* const tensor = file.source->find("blk.0.ffn_up.weight");
  return tensor != nullptr && tensor->type == "BF16" ? "bf16" : "f16";
}

model load_file(const std::filesystem::path& path, thread_pool& threads) {
  return model_file(path).load(er::recipe{}, threads);
}

/// A row for a file that was quantized before. Throws std::invalid_argument where it is not a model
/// of the same vocabulary.
row quantized_row(const std::string& path, const model_file& file) {
  const model_file other(path);
  other.require_complete();
  if (other.shape.vocabulary != file.shape.vocabulary) {
    throw std::invalid_argument("--also " + er::quoted(path, er::longest_path) +
                                " has a vocabulary of " + std::to_string(other.shape.vocabulary) +
                                " tokens, the model one of " +
                                std::to_string(file.shape.vocabulary));
  }
  return {std::filesystem::path(path).stem().string(), path, other.source->file_bytes()};
}

/// Files of one name in several folders are told apart by their paths.
void name_apart(std::span<row> rows) {
  std::map<std::string, int> files;
  for (const row& r : rows) ++files[r.name];
  for (row& r : rows) {
    if (files[r.name] > 1) r.name = r.file.string();
  }
}

/// Every budget and method.
std::vector<calibrate_options> calibrations_of(const compare_options& options) {
  std::vector<calibrate_options> wanted;
  for (const double bits : options.bits) {
    for (const std::string& method : options.methods) {
      calibrate_options& how = wanted.emplace_back();
      how.text = options.calibration_text;
      how.windows = options.calibration_windows;
      how.method = method;
      how.gradients = options.gradients;
      how.bits = bits;
      how.rotate = options.rotate;
      how.run = options.run;
      if (options.quantize.group != 0) how.group = options.quantize.group;
    }
  }
  return wanted;
}

/// A row for each. What rounding costs each matrix is measured once for all. In a worker, whose end
/// gives its memory back: the memory of what is measured later does not count it.
void add_calibrated(std::vector<row>& rows, const std::vector<calibrate_options>& wanted,
                    const compare_options& options, const model_file& file,
                    converted_models& files) {
  if (calibration_text_of(options.calibration_text) == read_text(options.text)) {
    throw std::invalid_argument(
        "the models would be calibrated on the text that they are measured on; give another "
        "--calibration-text or --text");
  }
  const std::size_t first = rows.size();
  for (const calibrate_options& how : wanted) {
    const std::string bits = decimal(how.bits, 2);
    rows.push_back({how.method + " " + bits, files.add(how.method + "_" + bits + ".gguf")});
  }
  worker_process worker([&]() -> service {
    return [&](const nlohmann::json&) {
      thread_pool threads(options.run.threads);
      require_possible(file, wanted, threads);  // all, before the first takes its minutes
      known_sensitivity sensitivity;
      nlohmann::json result = nlohmann::json::array();
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const calibration done =
            calibrate_model(file, wanted[i], rows[first + i].file, threads, sensitivity);
        result.push_back({done.file_bytes, done.seconds});
      }
      return result;
    };
  });
  const nlohmann::json result = worker.ask(nullptr);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    rows[first + i].file_bytes = result[i][0];
    rows[first + i].calibration_seconds = result[i][1].get<double>();
  }
}

/// The models side by side in one worker, whose end gives their memory back.
void measure_quality_of(std::vector<row>& rows, const std::vector<token_id>& text,
                        std::size_t window, std::optional<token_id> beginning,
                        const run_options& run) {
  worker_process worker([&]() -> service {
    return [&](const nlohmann::json&) {
      thread_pool threads(run.threads);
      std::vector<model> models;
      for (const row& r : rows) models.push_back(load_file(r.file, threads));
      nlohmann::json result = nlohmann::json::array();
      for (const quality& q : measure_quality(models, text, window, beginning, threads,
                                              support::chosen_kernel(run.kernel))) {
        result.push_back({q.perplexity, q.divergence, q.top_agreement});
      }
      return result;
    };
  });
  const nlohmann::json result = worker.ask(nullptr);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i].cost = {result[i][0], result[i][1], result[i][2]};
}

double ratio(std::size_t a, std::size_t b) {
  return static_cast<double>(a) / static_cast<double>(b);
}

/// `has_reference`: the first row is what the others are compared with.
void print_rows(const std::vector<row>& rows, bool has_reference) {
  std::vector<std::vector<std::string>> table{{"\nweights", "bits per\nweight", "file\nMB",
                                               "perplexity\non the text", "prompt\ntokens/s",
                                               "decoded\ntokens/s", "peak memory\nMB"}};
  for (const row& r : rows) {
    table.push_back({er::printable(r.name), decimal(r.pace.bits_per_weight, 2),
                     megabytes(r.file_bytes), significant(r.cost.perplexity, 4),
                     decimal(r.pace.prompt_rate, 1), decimal(r.pace.decode_rate, 1),
                     r.pace.peak_memory == 0 ? "unknown" : megabytes(r.pace.peak_memory)});
  }
  if (has_reference) {
    table[0].insert(table[0].begin() + 4, {"KL to 16\nbits, nats", "same top\ntoken"});
    table[0].insert(table[0].begin() + 3, "of 16\nbits");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const row& r = rows[i];
      std::vector<std::string>& cells = table[i + 1];
      cells.insert(cells.begin() + 4,
                   {decimal(r.cost.divergence, 4), decimal(100 * r.cost.top_agreement, 1) + " %"});
      cells.insert(cells.begin() + 3, decimal(ratio(r.file_bytes, rows[0].file_bytes), 3));
    }
  }
  if (std::ranges::any_of(rows, [](const row& r) { return r.calibration_seconds.has_value(); })) {
    table[0].emplace_back("minutes to\ncalibrate");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& seconds = rows[i].calibration_seconds;
      table[i + 1].push_back(seconds ? decimal(*seconds / 60, 1) : "");
    }
  }
  print_table(table);
}

nlohmann::json to_json(const row& r, const row* reference) {
  nlohmann::json result{{"weights", r.name},
                        {"bits_per_weight", r.pace.bits_per_weight},
                        {"file_bytes", r.file_bytes},
                        {"perplexity", r.cost.perplexity},
                        {"prompt_tokens_per_second", r.pace.prompt_rate},
                        {"decoded_tokens_per_second", r.pace.decode_rate},
                        {"bytes_per_token", r.pace.bytes_per_token},
                        {"cache_bytes", r.pace.cache_bytes},
                        {"peak_memory_bytes", r.pace.peak_memory}};
  if (r.calibration_seconds) result["calibration_seconds"] = *r.calibration_seconds;
  if (reference != nullptr) {
    result["ratio_to_16_bits"] = ratio(r.file_bytes, reference->file_bytes);
    result["mean_kl_nats"] = r.cost.divergence;
    result["top_token_agreement"] = r.cost.top_agreement;
  }
  return result;
}

}  // namespace

void compare(const compare_options& options) {
  const std::string kernel{support::chosen_kernel(options.run.kernel).name};
  const support::named_file json{"--json", options.json};
  std::vector<support::named_file> read = files_of_model("--model", options.model);
  for (const std::string& path : options.also) {
    const std::vector<support::named_file> one = files_of_model("--also", path);
    read.insert(read.end(), one.begin(), one.end());
  }
  read.push_back({"--text", options.text});
  read.push_back({"--calibration-text", options.calibration_text});
  read.push_back({"--gradients", options.gradients});
  support::require_apart({json}, read);
  report_file report(options.json);
  const model_file file(options.model);
  file.require_complete();
  const tokenizer words = file.read_tokenizer();
  const std::vector<token_id> text =
      words.encode(read_text(options.text), tokenizer::markup::plain, false);
  constexpr std::size_t least = 64;
  if (text.size() < least) {
    throw std::invalid_argument("the text is too short: it has " + std::to_string(text.size()) +
                                " tokens of the " + std::to_string(least) + " that say anything");
  }
  if (file.shape.context < 2) throw er::io_error("the model's context is a single token");
  const std::size_t window = std::min(options.window, file.shape.context - 1);
  const std::size_t room = prompt_room(options.prompt_tokens, options.decoded_tokens, file.shape);
  const auto beginning = words.data().add_bos ? words.data().bos : std::nullopt;

  const bool packed = file.is_packed();
  converted_models files(options.keep, {json}, read);
  std::vector<std::string> names{sixteen_bits(file)};
  const bool calibrated = !options.methods.empty();
  if (!calibrated) names.insert(names.end(), options.recipes.begin(), options.recipes.end());
  std::vector<row> rows;
  {
    thread_pool threads(options.run.threads);  // gone before workers are made
    const bool chosen =
        options.recipes != compare_options{}.recipes || !options.keep.empty() || calibrated;
    std::vector<er::recipe> recipes = recipes_for(names, chosen, options.quantize, file);
    // What the others are compared with: no override is for it.
    if (!packed) recipes[0] = recipe_for(names[0], {}, file.shape);
    for (const er::recipe& how : recipes) {
      if (packed) {
        rows.push_back({how.name, options.model, file.source->file_bytes()});
        continue;
      }
      const std::filesystem::path path = files.add(how.name + ".gguf");
      rows.push_back({how.name, path, write_quantized(file, how, path, threads).bytes_after});
    }
    std::vector<row> others;
    for (const std::string& path : options.also) others.push_back(quantized_row(path, file));
    name_apart(others);
    rows.insert(rows.begin() + 1, others.begin(), others.end());
  }
  if (calibrated) add_calibrated(rows, calibrations_of(options), options, file, files);

  race how{{}, options.decoded_tokens, options.rounds, options.run.threads, options.run.kernel};
  how.prompt.assign(text.begin(),
                    text.begin() + static_cast<std::ptrdiff_t>(std::min(room, text.size())));
  std::vector<contestant> contestants;
  for (const row& r : rows) {
    contestants.push_back(
        {r.name, [path = r.file](thread_pool& threads) { return load_file(path, threads); }});
  }
  const std::vector<speed> speeds = measure_speed(contestants, how);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].pace = speeds[i];
  measure_quality_of(rows, text, window, beginning, options.run);

  const std::string name{file.source->model_name().value_or(options.model)};
  std::printf("%s: %zu tokens of text in windows of %zu, %zu threads, kernel %s",
              er::printable(name).c_str(), text.size(), window, options.run.threads,
              kernel.c_str());
  if (!packed) {
    std::printf(", groups of %zu", options.quantize.group != 0 ? options.quantize.group
                                   : calibrated                ? calibrate_options{}.group
                                                               : default_group(file.shape));
  }
  std::printf("\n\n");
  print_rows(rows, !packed);
  if (!packed && !calibrated) {
    std::printf(
        "\nRound-to-nearest quantization. A model that was not trained for it survives 4 bits; "
        "below, it takes\n"
        "distillation to learn the weights that a few levels can hold.\n");
  }

  nlohmann::json figures{{"model", name},
                         {"text_tokens", text.size()},
                         {"window", window},
                         {"prompt_tokens", how.prompt.size()},
                         {"decoded_tokens", how.decoded_tokens},
                         {"rounds", how.rounds},
                         {"threads", options.run.threads},
                         {"kernel", kernel},
                         {"rows", nlohmann::json::array()}};
  for (const row& r : rows) figures["rows"].push_back(to_json(r, packed ? nullptr : &rows[0]));
  report.write(figures);
}

}  // namespace llm
