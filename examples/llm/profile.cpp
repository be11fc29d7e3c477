// SPDX-License-Identifier: Apache-2.0
#include "profile.hpp"

#include <algorithm>

#include "table.hpp"

namespace llm {

namespace {

struct step_info {
  const char* name;
  char letter;
  bool product;
};
constexpr std::array<step_info, step_count> infos{{{"embedding", 'e', false},
                                                   {"norms", 'n', false},
                                                   {"input to int8", 'i', false},
                                                   {"query, key, value", 'Q', true},
                                                   {"rope, cache", 'r', false},
                                                   {"attention", 'a', false},
                                                   {"attention's output", 'O', true},
                                                   {"gate, up", 'G', true},
                                                   {"silu", 's', false},
                                                   {"down", 'D', true},
                                                   {"residual", '+', false},
                                                   {"head", 'H', true},
                                                   {"sampling", 'p', false}}};
const step_info& info_of(step which) noexcept { return infos[static_cast<std::size_t>(which)]; }

}  // namespace

const char* name_of(step which) noexcept { return info_of(which).name; }
bool is_product(step which) noexcept { return info_of(which).product; }

double profile::seconds() const noexcept {
  double sum = 0;
  for (const step_times& one : steps) sum += one.seconds;
  return sum;
}

double profile::product_seconds() const noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < step_count; ++i)
    sum += is_product(static_cast<step>(i)) ? steps[i].seconds : 0;
  return sum;
}

double profile::waited() const noexcept {
  double sum = 0;
  for (const step_times& one : steps) sum += one.waited;
  const double all = seconds() * static_cast<double>(threads);
  return all > 0 ? sum / all : 0;
}

void profiler::turn(step which, std::size_t bytes, bool running) {
  const auto now = std::chrono::steady_clock::now();
  const thread_pool::job_times jobs = threads_.jobs();
  if (running_) {
    step_times& spent = into_->steps[static_cast<std::size_t>(current_)];
    const double seconds = std::chrono::duration<double>(now - last_).count();
    const double in_jobs = jobs.seconds - last_jobs_.seconds;
    spent.seconds += seconds;
    spent.waited += jobs.waited - last_jobs_.waited +
                    static_cast<double>(threads_.threads() - 1) * std::max(0.0, seconds - in_jobs);
  }
  into_->steps[static_cast<std::size_t>(which)].bytes += bytes;
  current_ = which;
  running_ = running;
  last_ = now;
  last_jobs_ = jobs;
}

std::vector<std::vector<std::string>> profile_table(const profile& of) {
  std::vector<std::vector<std::string>> rows{
      {"\ntime of a token", "\nms", "share\n%", "threads\nwaited, %", "weights\nGB/s"}};
  const double all = of.seconds(),
               tokens = static_cast<double>(std::max<std::size_t>(of.tokens, 1));
  const auto add = [&](const std::string& name, double seconds, double waited, double bytes) {
    const double room = seconds * static_cast<double>(of.threads);
    rows.push_back({name, decimal(seconds / tokens * 1e3, 3),
                    decimal(all > 0 ? 100 * seconds / all : 0, 1),
                    decimal(room > 0 ? 100 * waited / room : 0, 1),
                    bytes > 0 && seconds > 0 ? decimal(bytes / seconds / 1e9, 1) : ""});
  };
  double bytes = 0;
  for (std::size_t i = 0; i < step_count; ++i) {
    const step_times& one = of.steps[i];
    if (one.seconds <= 0) continue;
    add(infos[i].name, one.seconds, one.waited, static_cast<double>(one.bytes));
    bytes += static_cast<double>(one.bytes);
  }
  add("all", all, of.waited() * all * static_cast<double>(of.threads), bytes);
  return rows;
}

std::string profile_bar(const profile& of, std::size_t width) {
  std::string bar, key;
  double until = 0;
  const double all = of.seconds();
  for (std::size_t i = 0; i < step_count && all > 0; ++i) {
    if (of.steps[i].seconds <= 0) continue;
    until += of.steps[i].seconds / all;
    const auto end = static_cast<std::size_t>(until * static_cast<double>(width) + 0.5);
    if (end <= bar.size()) continue;
    bar.append(std::min(end, width) - bar.size(), infos[i].letter);
    key.append(key.empty() ? "" : ", ").append(1, infos[i].letter).append(" ");
    key.append(infos[i].name);
  }
  return '[' + bar + "]\n " + key;
}

}  // namespace llm
