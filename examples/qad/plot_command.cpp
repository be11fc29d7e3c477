// SPDX-License-Identifier: Apache-2.0
#include "plot_command.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "loss_plot.hpp"
#include "run.hpp"
#include "support/command_line.hpp"
#include "text_file.hpp"

namespace qad {

namespace er = edgerazor;

namespace {

struct plot_request {
  std::vector<std::string> runs;
  std::string output, what = "divergence", title;
};

double value_of(const quality& found, const std::string& what) {
  return what == "divergence" ? found.divergence : found.perplexity;
}

/// What a finished run measured at its end; nothing where it has not ended.
std::optional<quality> end_of(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "result.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const auto told = read_json(path);
  if (!told.contains("perplexity") || !told["perplexity"].is_number() ||
      !told.contains("divergence") || !told["divergence"].is_number()) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " has no perplexity and divergence, which are numbers");
  }
  return quality{told["perplexity"].get<double>(), told["divergence"].get<double>()};
}

std::string run_name(const std::filesystem::path& folder) {
  const std::filesystem::path clean = std::filesystem::absolute(folder).lexically_normal();
  return (clean.has_filename() ? clean : clean.parent_path()).filename().string();
}

void plot(const plot_request& asked) {
  loss_plot picture;
  picture.title = asked.title.empty() ? "On the validation text" : asked.title;
  picture.x_label = "tokens learned from";
  picture.y_label = asked.what == "divergence" ? "KL to the teacher, nats a token" : "perplexity";
  double last = 0;
  std::vector<std::pair<std::string, double>> levels;  // of runs that learn from nothing
  for (const std::string& run : asked.runs) {
    if (std::filesystem::exists(std::filesystem::path{run} / "quality.csv")) {
      loss_plot::curve curve{run_name(run), picture.curves.size(), false, {}, true};
      for (const evaluation& one : read_quality(run)) {
        curve.points.emplace_back(static_cast<double>(one.tokens),
                                  value_of(one.measured, asked.what));
        last = std::max(last, curve.points.back().first);
      }
      if (!curve.points.empty()) picture.curves.push_back(std::move(curve));
    } else if (const std::optional<quality> end = end_of(run)) {
      levels.emplace_back(run_name(run), value_of(*end, asked.what));
    } else {
      throw er::io_error(er::quoted(run, er::longest_path) +
                         " has neither quality.csv, which --evaluate-every writes, nor "
                         "result.json: there is nothing to draw");
    }
  }
  if (last == 0) {
    throw er::io_error(
        "none of these runs has been evaluated while it learned: there is no curve "
        "to draw (qad student --evaluate-every)");
  }
  for (const auto& [name, level] : levels)
    picture.curves.push_back({name, picture.curves.size(), true, {{0, level}, {last, level}}});
  write_text_file(asked.output, to_svg(picture));
}

}  // namespace

void add_plot(CLI::App& program) {
  const auto asked = std::make_shared<plot_request>();
  CLI::App& command = *program.add_subcommand(
      "plot", "Draw what the evaluations of runs found over the tokens they learned from");
  command
      .add_option(
          "RUN", asked->runs,
          "Folders of runs; one that ended without evaluations, such as rounding, is a level")
      ->required();
  command.add_option("--output", asked->output, "SVG image to write")
      ->required()
      ->type_name("FILE");
  command.add_option("--what", asked->what, "divergence: KL to the teacher; or perplexity")
      ->check(CLI::IsMember({"divergence", "perplexity"}))
      ->capture_default_str();
  command.add_option("--title", asked->title, "Of the picture")->type_name("TEXT");
  command.callback([asked] { plot(*asked); });
}

}  // namespace qad
