// SPDX-License-Identifier: Apache-2.0
#include "speed.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "decoder.hpp"
#include "process_memory.hpp"
#include "progress_bar.hpp"
#include "sampler.hpp"
#include "support/kernel_choice.hpp"
#include "worker_process.hpp"

namespace llm {

namespace {

nlohmann::json to_json(const profile& of) {
  nlohmann::json steps = nlohmann::json::array();
  for (const step_times& one : of.steps) steps.push_back({one.seconds, one.waited, one.bytes});
  return {{"steps", steps}, {"tokens", of.tokens}, {"threads", of.threads}};
}
profile to_profile(const nlohmann::json& of) {
  profile result;
  result.tokens = of["tokens"], result.threads = of["threads"];
  for (std::size_t i = 0; i < step_count; ++i)
    result.steps[i] = {of["steps"][i][0], of["steps"][i][1], of["steps"][i][2]};
  return result;
}

/// A model on the track; lives in a worker.
class runner {
 public:
  runner(const contestant& who, const race& how)
      : how_(how),
        threads_(how.threads),
        model_(who.load(threads_)),
        decoder_(model_, threads_, how.prompt.size() + how.decoded_tokens,
                 support::chosen_kernel(how.kernel)) {}

  nlohmann::json run(std::size_t prompt_tokens, std::size_t decoded_tokens) {
    decoder_.truncate(0);
    const auto start = std::chrono::steady_clock::now();
    std::span<const float> logits = decoder_.next(std::span{how_.prompt}.first(prompt_tokens));
    profiler& clock = decoder_.clock();
    if (how_.profiled) clock.watch(&profile_);
    const auto middle = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < decoded_tokens; ++i) {
      clock.enter(step::sampling);
      const token_id token = likeliest(logits);
      logits = decoder_.next({&token, 1});
    }
    clock.pause();
    clock.watch(nullptr);
    profile_.tokens += decoded_tokens;
    const std::chrono::duration<double> prompt = middle - start,
                                        decode = std::chrono::steady_clock::now() - middle;
    return {{"prompt", static_cast<double>(prompt_tokens) / prompt.count()},
            {"decode", static_cast<double>(decoded_tokens) / decode.count()}};
  }

  [[nodiscard]] nlohmann::json report() const {
    return {{"bits_per_weight", model_.linear_layers().bits_per_weight()},
            {"weight_bytes", model_.weight_bytes()},
            {"bytes_per_token", model_.bytes_per_token()},
            {"cache_bytes", decoder_.cache_bytes()},
            {"peak_memory", worker_process::isolated() ? peak_memory() : 0},
            {"profile", to_json(profile_)}};
  }
  /// What has been timed so far, a first round to warm up, does not count.
  void forget_profile() { profile_ = {}; }

 private:
  race how_;
  thread_pool threads_;
  model model_;
  decoder decoder_;
  profile profile_;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<speed> measure_speed(const std::vector<contestant>& contestants, const race& how) {
  std::vector<worker_process> workers;
  for (const contestant& who : contestants) {
    workers.emplace_back([&who, &how]() -> service {
      auto on_track = std::make_shared<runner>(who, how);
      return [on_track](const nlohmann::json& request) {
        if (request.contains("report")) return on_track->report();
        if (request.contains("warm_up")) {
          nlohmann::json times = on_track->run(request["prompt"], request["decode"]);
          on_track->forget_profile();
          return times;
        }
        return on_track->run(request["prompt"], request["decode"]);
      };
    });
  }
  progress_bar progress("timing", contestants.size() * (how.rounds + 1));
  std::vector<std::vector<double>> prompt(contestants.size()), decode(contestants.size());
  for (std::size_t round = 0; round <= how.rounds; ++round) {
    for (std::size_t i = 0; i < workers.size(); ++i) {
      const bool warm_up = round == 0;
      nlohmann::json request{{"prompt", how.prompt.size()}, {"decode", how.decoded_tokens}};
      if (warm_up) {
        request = {{"warm_up", true},
                   {"prompt", std::min<std::size_t>(8, how.prompt.size())},
                   {"decode", 1}};
      }
      const nlohmann::json times = workers[i].ask(request);
      progress.advance(1);
      if (warm_up) continue;
      prompt[i].push_back(times["prompt"]);
      decode[i].push_back(times["decode"]);
    }
  }
  std::vector<speed> results;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const nlohmann::json report = workers[i].ask({{"report", true}});
    results.push_back({median(prompt[i]), median(decode[i]), report["bits_per_weight"],
                       report["weight_bytes"], report["bytes_per_token"], report["cache_bytes"],
                       report["peak_memory"], to_profile(report["profile"])});
  }
  return results;
}

}  // namespace llm
