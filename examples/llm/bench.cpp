// SPDX-License-Identifier: Apache-2.0
/// The sub-command `bench`: tokens a second of every recipe, of a file or of random weights in a
/// published shape.
#include <algorithm>
#include <memory>
#include <random>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "checkpoint.hpp"
#include "options.hpp"
#include "profile.hpp"
#include "report.hpp"
#include "speed.hpp"
#include "support/kernel_choice.hpp"
#include "support/named_files.hpp"
#include "table.hpp"

namespace llm {

namespace {

geometry published_shape(const std::string& name) {
  if (const auto known = find_geometry(name)) return *known;
  std::string names;
  for (const std::string& one : geometry_names())
    names.append(names.empty() ? "" : ", ").append(one);
  throw std::invalid_argument("no geometry is called " + er::quoted(name) + "; there are " + names);
}

void print_profile(const std::string& name, const profile& of) {
  std::printf("\n%s, decoding:\n", er::printable(name).c_str());
  print_table(profile_table(of));
  std::printf(
      "%s\nA token takes %.2f times its products; %zu threads wait %.1f %% of their time, for "
      "each other or for one that works alone.\n",
      profile_bar(of, 100).c_str(), of.seconds() / of.product_seconds(), of.threads,
      100 * of.waited());
}

}  // namespace

void bench(const bench_options& options) {
  support::require_apart({{"--json", options.json}}, files_of_model("--model", options.model));
  report_file report(options.json);
  geometry shape;
  std::vector<er::recipe> recipes;
  if (options.model.empty()) {
    shape = published_shape(options.shape);
    for (const std::string& name : options.recipes)
      recipes.push_back(recipe_for(name, options.quantize, shape));
  } else {
    const model_file file(options.model);
    file.require_complete();
    shape = file.shape;
    recipes = recipes_for(options.recipes, options.recipes != bench_options{}.recipes,
                          options.quantize, file);
  }
  race how{{},
           options.decoded_tokens,
           options.rounds,
           options.run.threads,
           options.run.kernel,
           options.profile};
  std::mt19937_64 random(1);
  const std::size_t prompt_tokens =
      prompt_room(options.prompt_tokens, options.decoded_tokens, shape);
  for (std::size_t i = 0; i < prompt_tokens; ++i) {
    how.prompt.push_back(static_cast<token_id>(random() % shape.vocabulary));
  }
  if (how.prompt.empty()) throw std::invalid_argument("a prompt of no tokens");

  std::vector<contestant> contestants;
  for (const er::recipe& recipe : recipes) {
    contestants.push_back({recipe.name, [&options, shape, recipe](thread_pool& threads) {
                             if (!options.model.empty())
                               return model_file(options.model).load(recipe, threads);
                             random_weights source(recipe, threads);
                             return build_model(shape, source);
                           }});
  }
  const std::string kernel{support::chosen_kernel(options.run.kernel).name};
  const std::vector<speed> speeds = measure_speed(contestants, how);

  std::printf(
      "%s: prompt of %zu tokens, then %zu one by one, median of %zu rounds in turn, %zu threads, "
      "kernel %s\n\n",
      er::printable(options.model.empty() ? options.shape : options.model, er::longest_path)
          .c_str(),
      how.prompt.size(), how.decoded_tokens, how.rounds, options.run.threads, kernel.c_str());
  std::vector<std::vector<std::string>> table{{"\nweights", "bits per\nweight", "weights\nMB",
                                               "read per\ntoken, MB", "prompt\ntokens/s",
                                               "decoded\ntokens/s", "read\nGB/s", "cache\nMB",
                                               "peak memory\nMB", "(peak - cache)\n/ weights"}};
  nlohmann::json rows = nlohmann::json::array();
  for (std::size_t i = 0; i < speeds.size(); ++i) {
    const speed& s = speeds[i];
    const double overhead =
        (static_cast<double>(s.peak_memory) - static_cast<double>(s.cache_bytes)) /
        static_cast<double>(s.weight_bytes);
    const bool known = s.peak_memory != 0;
    table.push_back({er::printable(contestants[i].name), decimal(s.bits_per_weight, 2),
                     megabytes(s.weight_bytes), megabytes(s.bytes_per_token),
                     decimal(s.prompt_rate, 1), decimal(s.decode_rate, 1),
                     decimal(static_cast<double>(s.bytes_per_token) * s.decode_rate / 1e9, 2),
                     megabytes(s.cache_bytes), known ? megabytes(s.peak_memory) : "unknown",
                     known ? decimal(overhead, 3) : "unknown"});
    rows.push_back({{"weights", contestants[i].name},
                    {"bits_per_weight", s.bits_per_weight},
                    {"weight_bytes", s.weight_bytes},
                    {"bytes_per_token", s.bytes_per_token},
                    {"prompt_tokens_per_second", s.prompt_rate},
                    {"decoded_tokens_per_second", s.decode_rate},
                    {"cache_bytes", s.cache_bytes},
                    {"peak_memory_bytes", s.peak_memory}});
    for (std::size_t at = 0; options.profile && at < step_count; ++at) {
      const step_times& one = s.decoding.steps[at];
      const double tokens = static_cast<double>(std::max<std::size_t>(s.decoding.tokens, 1));
      rows.back()["profile"][name_of(static_cast<step>(at))] = {
          {"seconds_per_token", one.seconds / tokens},
          {"waited_seconds_per_token", one.waited / tokens}};
    }
  }
  print_table(table);
  for (std::size_t i = 0; options.profile && i < speeds.size(); ++i)
    print_profile(contestants[i].name, speeds[i].decoding);

  const nlohmann::json figures{{"model", options.model.empty() ? options.shape : options.model},
                               {"prompt_tokens", how.prompt.size()},
                               {"decoded_tokens", how.decoded_tokens},
                               {"rounds", how.rounds},
                               {"threads", options.run.threads},
                               {"kernel", kernel},
                               {"rows", rows}};
  report.write(figures);
}

}  // namespace llm
