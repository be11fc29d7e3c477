// SPDX-License-Identifier: Apache-2.0
#include "run_logs.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <sstream>
#include <string_view>

#include "support/system.hpp"
#include "text_file.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

run_log::run_log(const std::filesystem::path& path, std::uint64_t steps) : path_(path) {
  const std::string header = "step,loss,task,logits,features,gradient_norm,learning_rate,gamma\n";
  std::string kept = header;
  if (steps > 0 && std::filesystem::exists(path)) {
    std::istringstream lines(support::read_text(path));
    std::string line;
    std::getline(lines, line);
    for (std::uint64_t i = 0; i < steps && std::getline(lines, line); ++i) {
      // An older file has no gamma.
      if (std::ranges::count(line, ',') < std::ranges::count(header, ',')) line += ',';
      kept += line + "\n";
    }
  }
  write_text_file(path, kept);
  file_.reset(std::fopen(path.string().c_str(), "ab"));
  if (!file_) throw er::io_error("can't write " + er::quoted(path.string(), er::longest_path));
}

void run_log::add(std::uint64_t step, const step_result& result) {
  const auto part = [&](std::string_view name) {
    const auto at = std::find_if(result.parts.begin(), result.parts.end(),
                                 [&](const auto& p) { return p.name == name; });
    return at == result.parts.end() ? 0.0 : at->value;
  };
  std::fprintf(file_.get(), "%llu,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,",
               static_cast<unsigned long long>(step), result.loss, part("task"), part("logits"),
               part("features"), result.gradient_norm, result.learning_rate);
  if (result.gamma) std::fprintf(file_.get(), "%.9g", *result.gamma);
  std::fputc('\n', file_.get());
}

void run_log::flush() {
  if (std::fflush(file_.get()) != 0 || std::ferror(file_.get()) != 0)
    throw er::io_error("can't write " + er::quoted(path_.string(), er::longest_path));
}

quality_log::quality_log(const std::filesystem::path& folder, std::uint64_t steps)
    : path_(folder / "quality.csv"), text_("step,tokens,perplexity,divergence\n") {
  if (!std::filesystem::exists(path_)) return;
  for (const evaluation& one : read_quality(folder)) {
    if (one.step <= steps) note(one);
  }
  // Without its weights no evaluation is the best.
  if (!std::filesystem::exists(folder / "best")) best_ = std::numeric_limits<double>::infinity();
  write_text_file(path_, text_);
}

bool quality_log::add(const evaluation& found) {
  const bool best = note(found);
  write_text_file(path_, text_);
  return best;
}

bool quality_log::note(const evaluation& found) {
  char line[160];
  std::snprintf(line, sizeof line, "%llu,%llu,%.17g,%.17g\n",
                static_cast<unsigned long long>(found.step),
                static_cast<unsigned long long>(found.tokens), found.measured.perplexity,
                found.measured.divergence);
  text_ += line;
  const bool best = score(found.measured) < best_;
  best_ = std::min(best_, score(found.measured));
  return best;
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