// SPDX-License-Identifier: Apache-2.0
/// The sub-command `inspect`: what a model holds, as tables and as JSON.
#include <cstdio>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint.hpp"
#include "inspection.hpp"
#include "options.hpp"
#include "report.hpp"
#include "support/named_files.hpp"
#include "support/system.hpp"
#include "table.hpp"

namespace llm {

namespace {

/// "210 Q4_1, 1 Q8_0".
std::string counts_text(const std::map<std::string, std::size_t>& counts) {
  std::string text;
  for (const auto& [what, count] : counts)
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + er::printable(what);
  return text;
}

std::string shape_of(const geometry& g) {
  return std::to_string(g.layers) + " layers, hidden " + std::to_string(g.hidden) + ", ffn " +
         std::to_string(g.feed_forward) + ", " + std::to_string(g.heads) + " heads of " +
         std::to_string(g.head_size) + " (" + std::to_string(g.kv_heads) + " with keys), " +
         std::to_string(g.vocabulary) + " tokens, context " + std::to_string(g.context) +
         (g.tied_head ? ", the embedding is the head" : ", a head of its own");
}

void print_line(const char* what, const std::string& text) {
  std::printf("%-13s%s\n", what, er::printable(text, 400).c_str());
}

void print_notes(const char* title, const std::vector<inspection::note>& notes) {
  if (notes.empty()) return;
  std::printf("\n%s\n", title);
  for (const inspection::note& one : notes) {
    std::printf("  %s (%s): %s\n", er::printable(one.tensor).c_str(),
                er::printable(one.type).c_str(), er::printable(one.text, 400).c_str());
  }
}

nlohmann::json to_json(const std::vector<inspection::note>& notes) {
  nlohmann::json result = nlohmann::json::array();
  for (const inspection::note& one : notes)
    result.push_back({{"tensor", one.tensor}, {"type", one.type}, {"why", one.text}});
  return result;
}

nlohmann::json or_null(const std::optional<std::string>& text) {
  return text ? nlohmann::json(*text) : nlohmann::json(nullptr);
}

nlohmann::json to_json(const inspection& found, const std::string& path) {
  nlohmann::json result{{"model", path},
                        {"container", found.container},
                        {"name", or_null(found.name)},
                        {"architecture", or_null(found.architecture)},
                        {"recipe", or_null(found.recipe)},
                        {"runs", found.why_not_run.empty()},
                        {"why_not", found.why_not_run},
                        {"tokenizer", found.tokenizer},
                        {"why_no_tokenizer", found.why_no_tokenizer},
                        {"chat", found.chat},
                        {"tools", found.tools},
                        {"roles", nlohmann::json::array()},
                        {"not_exact", to_json(found.inexact)},
                        {"refused", to_json(found.refused)}};
  if (found.shape) {
    const geometry& g = *found.shape;
    result["shape"] = {{"layers", g.layers},         {"hidden", g.hidden},
                       {"ffn", g.feed_forward},      {"heads", g.heads},
                       {"kv_heads", g.kv_heads},     {"head_size", g.head_size},
                       {"vocabulary", g.vocabulary}, {"context", g.context},
                       {"rope_base", g.rope_base},   {"tied_head", g.tied_head}};
  }
  for (const role_summary& role : found.roles) {
    result["roles"].push_back({{"role", role.role},
                               {"tensors", role.tensors},
                               {"weights", role.weights},
                               {"bytes", role.bytes},
                               {"bits_per_weight", role.bits_per_weight()},
                               {"types", role.types},
                               {"formats", role.formats}});
  }
  return result;
}

}  // namespace

void inspect(const inspect_options& options) {
  support::require_apart({{"--json", options.json}}, files_of_model("--model", options.model));
  report_file report(options.json);
  const inspection found = inspect_checkpoint(options.model);
  print_line("container", found.container);
  if (found.name) print_line("name", *found.name);
  print_line("architecture", found.architecture.value_or("not said"));
  if (found.shape) print_line("shape", shape_of(*found.shape));
  if (found.recipe) print_line("recipe", *found.recipe);
  print_line("runs here", found.why_not_run.empty() ? "yes" : "no: " + found.why_not_run);
  print_line("tokenizer",
             found.why_no_tokenizer.empty() ? found.tokenizer : "none: " + found.why_no_tokenizer);
  if (found.why_no_tokenizer.empty()) {
    const bool tools = !found.tools.empty();
    print_line("chat", found.chat + (tools ? ", tools: " + found.tools : std::string{}));
  }

  std::vector<std::vector<std::string>> table{
      {"role", "tensors", "weights", "MB", "bits a weight", "stored as", "copied exactly as"}};
  role_summary all{"all", 0, 0, 0, {}, {}};
  for (const role_summary& role : found.roles) {
    table.push_back({std::string{role.role}, std::to_string(role.tensors),
                     std::to_string(role.weights), megabytes(role.bytes),
                     decimal(role.bits_per_weight(), 2), counts_text(role.types),
                     counts_text(role.formats)});
    all.tensors += role.tensors;
    all.weights += role.weights;
    all.bytes += role.bytes;
  }
  table.push_back({"all", std::to_string(all.tensors), std::to_string(all.weights),
                   megabytes(all.bytes), decimal(all.bits_per_weight(), 2), "", ""});
  std::printf("\n");
  print_table(table);
  print_notes(
      "Matrices that no format holds exactly (they are decoded to numbers, and --recipe "
      "quantizes them anew):",
      found.inexact);
  print_notes("Refused:", found.refused);
  report.write(to_json(found, options.model));
}

}  // namespace llm
