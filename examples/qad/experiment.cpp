// SPDX-License-Identifier: Apache-2.0
#include "experiment.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "export.hpp"
#include "loss_plot.hpp"
#include "progress.hpp"
#include "support/threads.hpp"
#include "text_file.hpp"
#include <edgerazor/core/contract.hpp>

namespace qad {

namespace {

using json = nlohmann::ordered_json;

/// One row of the tables.
struct row {
  std::string name;  ///< of its folders
  std::string title;
  method how;
  std::string recipe;
  std::string logits_loss = "eakld";
  bool features = true;
};

struct width {
  const char *name, *recipe, *title;
};
constexpr std::array<width, 4> widths{{{"w4", "w4_a8_kv8", "4"},
                                       {"w2_79", "w2_79_a8_kv8", "2.79"},
                                       {"w1_88", "w1_88_a8_kv8", "1.88"},
                                       {"w1_58", "w1_58_a8_kv8", "1.58"}}};

std::vector<row> all_rows() {
  std::vector<row> rows{{"teacher", "teacher, 16 bits", method::teacher, "none"}};
  for (const width& w :
       {widths[0], width{"int3", "int3", "3"}, width{"int2", "int2", "2"}, widths[3]}) {
    rows.push_back({std::string{"rounding_"} + w.name,
                    std::string{"rounding, "} + w.title + " bits", method::rounding, w.recipe});
  }
  for (const width& w : widths) {
    rows.push_back({std::string{"qat_"} + w.name, std::string{"QAT, "} + w.title + " bits",
                    method::qat, w.recipe});
  }
  for (const width& w : widths) {
    rows.push_back({std::string{"qad_"} + w.name, std::string{"QAD, "} + w.title + " bits",
                    method::qad, w.recipe});
  }
  const std::string ablated = widths[2].recipe;
  rows.push_back({"forward_kl_w1_88", "forward KL", method::qad, ablated, "forward", false});
  rows.push_back({"reverse_kl_w1_88", "reverse KL", method::qad, ablated, "reverse", false});
  rows.push_back({"eakld_w1_88", "EAKLD", method::qad, ablated, "eakld", false});
  return rows;
}

/// Jobs of which some wait for others, by several threads. The first failure lets no other job
/// begin.
class job_queue {
 public:
  struct job {
    std::function<void()> work;
    std::optional<std::size_t> after;  ///< index of a job that must be done before
  };

  void run(const std::vector<job>& jobs, std::size_t threads) {
    done_.assign(jobs.size(), false);
    for (std::size_t i = 0; i < jobs.size(); ++i) waiting_.push_back(i);
    std::vector<std::thread> others;
    support::add_threads(others, threads - 1, [&] { work(jobs); });
    work(jobs);
    for (std::thread& other : others) other.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void work(const std::vector<job>& jobs) {
    std::unique_lock lock(mutex_);
    while (!waiting_.empty() && !error_) {
      const auto next = std::find_if(waiting_.begin(), waiting_.end(), [&](std::size_t i) {
        return !jobs[i].after || done_[*jobs[i].after];
      });
      if (next == waiting_.end()) {
        changed_.wait(lock);
        continue;
      }
      const std::size_t index = *next;
      waiting_.erase(next);
      lock.unlock();
      std::exception_ptr error;
      try {
        jobs[index].work();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      done_[index] = true;
      if (error && !error_) error_ = error;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::size_t> waiting_;
  std::vector<bool> done_;
  std::exception_ptr error_;
};

struct spread {
  std::vector<double> values;  ///< by seed

  [[nodiscard]] double mean() const {
    double sum = 0;
    for (const double v : values) sum += v;
    return sum / static_cast<double>(values.size());
  }
  [[nodiscard]] double least() const { return *std::min_element(values.begin(), values.end()); }
  [[nodiscard]] double most() const { return *std::max_element(values.begin(), values.end()); }
};

using results = std::map<std::string, std::vector<run_result>>;  ///< by row, then seed

spread perplexity_of(const results& all, const std::string& name) {
  spread s;
  for (const run_result& r : all.at(name)) s.values.push_back(r.measured.perplexity);
  return s;
}

spread divergence_of(const results& all, const std::string& name) {
  spread s;
  for (const run_result& r : all.at(name)) s.values.push_back(r.measured.divergence);
  return s;
}

std::string decimal(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// "12.34 (12.30 to 12.41)".
std::string text_of(const spread& s, int digits) {
  std::string text = decimal(s.mean(), digits);
  if (s.least() < s.most())
    text += " (" + decimal(s.least(), digits) + " to " + decimal(s.most(), digits) + ")";
  return text;
}

json to_json(const spread& s) {
  return {{"mean", s.mean()}, {"least", s.least()}, {"most", s.most()}, {"by_seed", s.values}};
}

/// What the paper claims: the first row is better than the second.
struct claim {
  std::string text, better, worse;
};

std::vector<claim> all_claims() {
  std::vector<claim> claims{
      {"QAD at 1.88 bits is better than rounding at 3 bits", "qad_w1_88", "rounding_int3"},
      {"QAD at 1.88 bits is better than rounding at 2 bits", "qad_w1_88", "rounding_int2"}};
  for (const width& w : widths) {
    claims.push_back({std::string{"QAD is better than QAT at "} + w.title + " bits",
                      std::string{"qad_"} + w.name, std::string{"qat_"} + w.name});
  }
  claims.push_back({"EAKLD is at least as good as forward KL", "eakld_w1_88", "forward_kl_w1_88"});
  claims.push_back({"EAKLD is at least as good as reverse KL", "eakld_w1_88", "reverse_kl_w1_88"});
  claims.push_back({"adaptive features improve EAKLD", "qad_w1_88", "eakld_w1_88"});
  return claims;
}

std::size_t seeds_in_favour(const spread& better, const spread& worse) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < better.values.size(); ++i)
    count += better.values[i] <= worse.values[i] ? 1 : 0;
  return count;
}

std::string table_text(const experiment_options& o, const results& all) {
  const auto quality_cells = [&](const std::string& name, bool teacher) {
    return text_of(perplexity_of(all, name), 2) + " | " +
           (teacher ? "0" : text_of(divergence_of(all, name), 4));
  };
  std::string text =
      "| model | bits a weight of linear layers, scales included | matrices, kB | validation "
      "perplexity | KL to the "
      "teacher, nats |\n|---|---:|---:|---:|---:|\n";
  for (const row& r : all_rows()) {
    if (r.how == method::qad && (r.logits_loss != "eakld" || !r.features)) continue;
    const storage s = storage_of(o.teacher.model, r.recipe);
    text += "| " + r.title + " | " + decimal(s.linear_bits(), 2) + " | " +
            decimal(static_cast<double>(s.bytes()) / 1000, 0) + " | " +
            quality_cells(r.name, r.how == method::teacher) + " |\n";
  }
  text +=
      "\nWhat each part of the objective is worth, at 1.88 bits:\n\n| objective | validation "
      "perplexity | KL to the "
      "teacher, nats |\n|---|---:|---:|\n";
  for (const auto& [name, title] : {std::pair{"qat_w1_88", "task only (QAT)"},
                                    {"forward_kl_w1_88", "task + forward KL"},
                                    {"reverse_kl_w1_88", "task + reverse KL"},
                                    {"eakld_w1_88", "task + EAKLD"},
                                    {"qad_w1_88", "task + EAKLD + adaptive features (QAD)"}}) {
    text += std::string{"| "} + title + " | " + quality_cells(name, false) + " |\n";
  }
  const std::string of_seeds = " of " + std::to_string(o.seeds) + " |";
  text +=
      "\nWhat the paper claims:\n\n| claim | perplexity | in seeds | KL | in seeds "
      "|\n|---|---:|---:|---:|---:|\n";
  for (const claim& c : all_claims()) {
    const spread p = perplexity_of(all, c.better), q = perplexity_of(all, c.worse);
    const spread d = divergence_of(all, c.better), e = divergence_of(all, c.worse);
    text += "| " + c.text + " | " + decimal(p.mean(), 2) + " against " + decimal(q.mean(), 2) +
            " | " + std::to_string(seeds_in_favour(p, q)) + of_seeds + " " + decimal(d.mean(), 4) +
            " against " + decimal(e.mean(), 4) + " | " + std::to_string(seeds_in_favour(d, e)) +
            of_seeds + "\n";
  }
  return text;
}

json report_of(const experiment_options& o, const results& all) {
  json report;
  report["teacher"] = to_json(o.teacher)["run"];
  report["student_steps"] = o.student_steps;
  report["student_learning_rate"] = o.student_learning_rate;
  report["student_weight_decay"] = o.student_weight_decay;
  report["feature_weight"] = o.feature_weight;
  report["seeds"] = o.seeds;
  report["rows"] = json::array();
  for (const row& r : all_rows()) {
    const storage s = storage_of(o.teacher.model, r.recipe);
    double seconds = 0;
    for (const run_result& one : all.at(r.name)) seconds = std::max(seconds, one.training_seconds);
    report["rows"].push_back({{"name", r.name},
                              {"recipe", r.recipe},
                              {"logits_loss", r.how == method::qad ? r.logits_loss : "none"},
                              {"features", r.how == method::qad && r.features},
                              {"linear_bits_per_weight", s.linear_bits()},
                              {"matrix_bytes", s.bytes()},
                              {"perplexity", to_json(perplexity_of(all, r.name))},
                              {"divergence", to_json(divergence_of(all, r.name))},
                              {"longest_training_seconds", seconds}});
  }
  return report;
}

class experiment {
 public:
  explicit experiment(const experiment_options& options)
      : options_(with_teacher(options)),
        text_(text_of(options_.teacher), options_.teacher.model.vocabulary),
        rows_(all_rows()) {
    options_.teacher.model.vocabulary = text_.tokenizer.size();
    for (const row& r : rows_) results_[r.name].resize(options_.seeds);
    teachers_.resize(options_.seeds);
  }

  void perform() {
    for (const row& r : rows_) {  // before any of them begins
      if (r.how != method::teacher) require_valid(student_options(0, r));
    }
    std::vector<job_queue::job> jobs;
    for (std::size_t seed = 0; seed < options_.seeds; ++seed)
      jobs.push_back({[this, seed] { train_teacher(seed); }, {}});
    for (std::size_t seed = 0; seed < options_.seeds; ++seed) {
      for (const row& r : rows_) {
        if (r.how != method::teacher)
          jobs.push_back({[this, seed, &r] { train_student(seed, r); }, seed});
      }
    }
    total_ = jobs.size();
    job_queue().run(jobs, options_.jobs);
    write_reports();
  }

 private:
  /// A teacher of all seeds brings its shape, text and batches.
  static experiment_options with_teacher(experiment_options options) {
    if (!options.teacher_folder.empty()) options.teacher = load_run(options.teacher_folder).options;
    return options;
  }

  [[nodiscard]] std::filesystem::path folder_of(std::size_t seed, const row& r) const {
    if (r.how == method::teacher && !options_.teacher_folder.empty())
      return options_.teacher_folder;
    return std::filesystem::path(options_.folder) / ("seed_" + std::to_string(seed + 1)) / r.name;
  }

  void train_teacher(std::size_t seed) {
    run_options run = options_.teacher;
    run.training.how = method::teacher;
    run.training.recipe = "none";
    if (options_.teacher_folder.empty()) run.training.seed = seed + 1;
    run.training.threads = 1;
    const run_result result =
        perform_run(run, text_, nullptr, folder_of(seed, rows_[0]), options_.jobs > 1);
    teachers_[seed].emplace(load_run(folder_of(seed, rows_[0])));
    note(seed, rows_[0], result);
  }

  [[nodiscard]] run_options student_options(std::size_t seed, const row& r) const {
    run_options run = options_.teacher;
    training_options& t = run.training;
    t.how = r.how;
    t.recipe = r.recipe;
    t.logits_loss = r.logits_loss;
    t.features = r.features;
    t.feature_form = features_by::absolute;  // as published
    if (r.how == method::qad && r.features) t.feature_weight = options_.feature_weight;
    t.seed = seed + 1;
    t.threads = 1;
    t.steps = options_.student_steps;
    t.learning_rate = options_.student_learning_rate;
    t.weight_decay = options_.student_weight_decay;
    return run;
  }

  void train_student(std::size_t seed, const row& r) {
    run_options run = student_options(seed, r);
    run.teacher = fingerprint(teachers_[seed]->weights);
    run.teacher_folder = std::filesystem::absolute(folder_of(seed, rows_[0])).string();
    note(seed, r,
         perform_run(run, text_, &teachers_[seed]->weights, folder_of(seed, r), options_.jobs > 1));
  }

  void note(std::size_t seed, const row& r, const run_result& result) {
    const std::lock_guard lock(mutex_);
    results_[r.name][seed] = result;
    ++finished_;
    std::fprintf(stderr, "[%zu of %zu] seed %zu, %s: perplexity %.2f, KL %.4f\n", finished_, total_,
                 seed + 1, r.title.c_str(), result.measured.perplexity, result.measured.divergence);
  }

  void write_reports() const {
    const std::filesystem::path folder = options_.folder;
    const std::string table = table_text(options_, results_);
    write_text_file(folder / "results.json", report_of(options_, results_).dump(2) + "\n");
    write_text_file(folder / "results.md", table);
    write_text_file(folder / "loss.svg", to_svg(curves()));
    std::fputs(table.c_str(), stdout);
  }

  /// Task losses of QAT (dashed) and QAD, mean over the seeds.
  [[nodiscard]] loss_plot curves() const {
    loss_plot plot;
    plot.title = "Students on training text: cross-entropy, mean over " +
                 std::to_string(options_.seeds) + " seeds";
    plot.x_label = "step";
    plot.y_label = "nats a token";
    for (std::size_t i = widths.size(); i-- > 0;) {
      for (const char* how : {"qat", "qad"}) {
        const std::string name = std::string{how} + "_" + widths[i].name;
        const row& r = *std::find_if(rows_.begin(), rows_.end(),
                                     [&](const row& one) { return one.name == name; });
        std::vector<std::pair<double, double>> sum;
        for (std::size_t seed = 0; seed < options_.seeds; ++seed) {
          const auto points = read_log(folder_of(seed, r), "task", 60);
          if (sum.empty()) sum.resize(points.size());
          for (std::size_t p = 0; p < points.size(); ++p) {
            sum[p] = {points[p].first,
                      sum[p].second + points[p].second / static_cast<double>(options_.seeds)};
          }
        }
        plot.curves.push_back({r.title, i, r.how == method::qat, std::move(sum)});
      }
    }
    return plot;
  }

  experiment_options options_;
  corpus text_;
  std::vector<row> rows_;
  std::vector<std::optional<trained_model>> teachers_;  ///< by seed
  std::mutex mutex_;
  results results_;
  std::size_t finished_ = 0, total_ = 0;
};

}  // namespace

void perform_experiment(const experiment_options& options) {
  if (options.seeds == 0 || options.jobs == 0)
    throw std::invalid_argument("an experiment takes at least one seed and one job");
  experiment(options).perform();
}

}  // namespace qad
