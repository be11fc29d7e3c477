// SPDX-License-Identifier: Apache-2.0
#include "console.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <string_view>
#include <utility>

#include "dot_product_peak.hpp"
#include "machine.hpp"
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/version.hpp>

namespace er = edgerazor;

namespace bench {

namespace {

constexpr std::size_t widest_name = 58;  // with the columns behind it 120
constexpr double busy_from = 5;          // percent

std::string text(const char* format, double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

std::string three_digits(double value) {
  return text(value < 9.995 ? "%.2f" : value < 99.95 ? "%.1f" : "%.0f", value);
}

std::string time_text(double seconds) {
  constexpr std::array<std::pair<double, const char*>, 4> units{
      {{1.0, " s"}, {1e-3, " ms"}, {1e-6, " us"}, {1e-9, " ns"}}};
  const auto* unit = units.begin();
  while (seconds < unit->first && std::next(unit) != units.end()) ++unit;
  return three_digits(seconds / unit->first) + unit->second;
}

using run = benchmark::BenchmarkReporter::Run;

double counter(const run& of, std::string_view name, double otherwise = -1) {
  const auto at = of.counters.find(std::string{name});
  return at == of.counters.end() ? otherwise : static_cast<double>(at->second);
}

/// The first of the counters that the run has, with what stands behind its figure.
template <std::size_t Count>
std::pair<double, const char*> first_of(
    const run& of, const std::array<std::pair<std::string_view, const char*>, Count>& names) {
  for (const auto& [name, unit] : names) {
    if (const double value = counter(of, name); value >= 0) return {value, unit};
  }
  return {-1, ""};
}

constexpr std::array<std::pair<std::string_view, const char*>, 4> bytes{
    {{"packed_B/s", ""}, {"input_B/s", ""}, {"cache_B/s", ""}, {"bytes/s", ""}}};
constexpr std::array<std::pair<std::string_view, const char*>, 5> rates{{{"weights/s", "w/s"},
                                                                         {"positions/s", "pos/s"},
                                                                         {"multiply_adds/s", "/s"},
                                                                         {"tokens/s", "tok/s"},
                                                                         {"cycles/s", "Hz"}}};

std::string limit_text(const run& of) {
  const double read = counter(of, "percent_of_read"), peak = counter(of, "percent_of_peak");
  if (read < 0 && peak < 0) return "";
  return text("%.0f", std::max(read, peak)) + (read > peak ? " % read" : " % peak");
}

}  // namespace

std::string with_prefix(double value) {
  constexpr std::array<std::pair<double, const char*>, 4> prefixes{
      {{1e9, " G"}, {1e6, " M"}, {1e3, " k"}, {1, " "}}};
  const auto* prefix = prefixes.begin();
  while (value < prefix->first && std::next(prefix) != prefixes.end()) ++prefix;
  return three_digits(value / prefix->first) + prefix->second;
}

console::console(std::size_t longest_name) : name_width_(std::min(longest_name, widest_name)) {}

bool console::ReportContext(const Context&) {
  const cache_sizes caches = read_cache_sizes();
  std::printf("edgerazor %s, fastest kernel %s, on %s: %zu processors, L2 %zu KiB, L3 %zu MiB\n",
              EDGERAZOR_VERSION, std::string{er::best_kernel().name}.c_str(),
              processor_name().c_str(), processor_count(), caches.l2 >> 10, caches.l3 >> 20);
  std::printf(
      "of limit: of a plain read of the same memory, or of the peak of %s, in the same passes\n"
      "(figures in brackets: others used the processors meanwhile)\n\n",
      std::string{widest_dot_product().instructions}.c_str());
  std::printf("%-*s %9s %8s %11s %11s %6s\n", static_cast<int>(name_width_), "", "time", "GB/s",
              "rate", "of limit", "spread");
  return true;
}

void console::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& of : runs) {
    if (of.run_type != Run::RT_Iteration) continue;
    std::string name = of.run_name.str();
    if (name.size() > name_width_) name += '\n' + std::string(name_width_, ' ');
    std::printf("%-*s", static_cast<int>(name_width_), name.c_str());
    if (of.error_occurred) {
      std::printf(" failed: %s\n", of.error_message.c_str());
      continue;
    }
    const double others = counter(of, "others_percent", 0);
    const bool is_busy = others >= busy_from;
    const auto shown = [is_busy](const std::string& figure) {
      return is_busy && !figure.empty() ? '(' + figure + ')' : figure;
    };
    const double byte_rate = first_of(of, bytes).first;
    const auto [rate, unit] = first_of(of, rates);
    const double iterations = static_cast<double>(std::max<std::int64_t>(of.iterations, 1));
    std::printf(
        " %9s %8s %11s %11s %6s", shown(time_text(of.real_accumulated_time / iterations)).c_str(),
        byte_rate < 0 ? "" : shown(three_digits(byte_rate * 1e-9)).c_str(),
        rate < 0 ? "" : shown(with_prefix(rate) + unit).c_str(), shown(limit_text(of)).c_str(),
        (text("%.0f", counter(of, "spread_percent", 0)) + " %").c_str());
    for (const auto& [which, ratio] : of.counters) {
      if (which.starts_with("of_"))
        std::printf("  %.2f of %s", static_cast<double>(ratio), which.c_str() + 3);
    }
    if (is_busy) std::printf(" busy %.0f %%", others);
    std::printf("\n");
    ++rows_;
    busy_rows_ += is_busy ? 1 : 0;
  }
  std::fflush(stdout);
}

void console::Finalize() {
  if (busy_rows_ == 0) return;
  std::printf(
      "\n%zu of %zu rows are not this machine's: others used the processors while they were\n"
      "measured (busy: of all their time). Run them again when the machine is idle.\n",
      busy_rows_, rows_);
}

}  // namespace bench
