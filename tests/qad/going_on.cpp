// SPDX-License-Identifier: Apache-2.0
/// What a run leaves in its folder, and goes on from: records, and another learning rate.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "qad/checkpoint.hpp"
#include "qad/run_logs.hpp"
#include "qad/text_file.hpp"
#include "small_run.hpp"
#include "support/system.hpp"

namespace {

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::istringstream text(support::read_text(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("log.csv has the gamma of every step, and none where no loss blends") {
  const temporary_folder folder;
  qad::run_options options = small_options();
  options.training.steps = 3;
  options.evaluate_every = 0;
  const qad::corpus text = small_corpus(options);
  qad::perform_run(options, text, nullptr, folder / "teacher", true);
  const qad::trained_model teacher = qad::load_run(folder / "teacher");
  options.training.how = qad::method::qad;
  options.training.recipe = "w1_88_a8_kv8";
  options.training.confidence_k = options.model.vocabulary;
  options.teacher = qad::fingerprint(teacher.weights);
  qad::perform_run(options, text, &teacher.weights, folder / "eakld", true);
  options.training.logits_loss = "forward";
  qad::perform_run(options, text, &teacher.weights, folder / "forward", true);
  const auto last_cells = [&](const char* name) {
    std::vector<std::string> cells;
    for (const std::string& line : lines_of(folder / name / "log.csv")) {
      CHECK(std::ranges::count(line, ',') == 7);
      cells.push_back(line.substr(line.rfind(',') + 1));
    }
    return cells;
  };
  CHECK(last_cells("forward") == std::vector<std::string>{"gamma", "", "", ""});
  const std::vector<std::string> found = last_cells("eakld");
  REQUIRE(found.size() == 4);
  for (std::size_t i = 1; i < 4; ++i) {
    CHECK(std::stod(found[i]) > 0);
    CHECK(std::stod(found[i]) < 1);
  }
  CHECK(qad::read_log(folder / "eakld", "gamma", 1)[0].second > 0);
}

TEST_CASE("a log of before there was a gamma goes on with empty cells") {
  const temporary_folder folder;
  qad::write_text_file(folder / "log.csv",
                       "step,loss,task,logits,features,gradient_norm,learning_rate\n"
                       "1,2,2,0,0,1,0.1\n2,1,1,0,0,1,0.1\n3,9,9,0,0,1,0.1\n");
  {
    qad::run_log log(folder / "log.csv", 2);
    qad::step_result step;
    step.loss = 4;
    step.gamma = 0.25;
    log.add(3, step);
    log.flush();
  }
  CHECK(lines_of(folder / "log.csv") ==
        std::vector<std::string>{"step,loss,task,logits,features,gradient_norm,learning_rate,gamma",
                                 "1,2,2,0,0,1,0.1,", "2,1,1,0,0,1,0.1,", "3,4,0,0,0,0,0,0.25"});
}

TEST_CASE("quality.csv forgets every evaluation after the step that a run goes on from") {
  const temporary_folder folder;
  const std::string header = "step,tokens,perplexity,divergence\n";
  const auto goes_on_from = [&](std::uint64_t step) {
    qad::write_text_file(folder / "quality.csv", header + "4,40,9,0.5\n8,80,8,0.25\n");
    const qad::quality_log log(folder.path, step);
    return support::read_text(folder / "quality.csv");
  };
  CHECK(goes_on_from(0) == header);
  CHECK(goes_on_from(3) == header);
  CHECK(goes_on_from(4) == header + "4,40,9,0.5\n");
  CHECK(goes_on_from(9) == header + "4,40,9,0.5\n8,80,8,0.25\n");

  // Which is the best is known from the lines that are left, as long as its weights are there.
  qad::write_text_file(folder / "best", "weights");
  CHECK(goes_on_from(4) == header + "4,40,9,0.5\n");
  CHECK_FALSE(qad::quality_log(folder.path, 4).add({8, 80, {9, 0.75}}));
  CHECK(qad::quality_log(folder.path, 4).add({8, 80, {9, 0.375}}));
  std::filesystem::remove(folder / "best");
  CHECK(qad::quality_log(folder.path, 4).add({8, 80, {9, 0.75}}));
}

TEST_CASE("a run that diverged is taken up at another rate, and can be done again") {
  const temporary_folder folder;
  qad::run_options options = small_options();
  options.training.steps = 16;
  options.training.warmup_fraction = 0.5;
  // Decay multiplies a matrix by up to -6000 in a step: after the fourth, floats hold no square.
  options.training.learning_rate = 6e4;
  // The last checkpoint is of before that.
  options.checkpoint_every = 3;
  options.evaluate_every = 1;
  options.validation_tokens = 64;
  const qad::corpus text = small_corpus(options);
  const std::filesystem::path run = folder / "run";
  CHECK_THROWS_WITH_AS(qad::perform_run(options, text, nullptr, run, true),
                       doctest::Contains("--resume-with-learning-rate"), std::invalid_argument);
  const std::uint64_t step = qad::read_checkpoint(run / "checkpoint").step;
  CHECK(step == 3);
  CHECK_THROWS_WITH_AS(qad::perform_run(options, text, nullptr, run, true),
                       doctest::Contains("the training diverged"), std::invalid_argument);

  qad::run_options other = options;
  other.training.learning_rate = 1e-3;
  CHECK_THROWS_WITH_AS(qad::perform_run(other, text, nullptr, run, true),
                       doctest::Contains("another learning_rate"), std::invalid_argument);
  other = options;
  other.resume_learning_rate = 1e-3;
  other.training.seed = 2;
  CHECK_THROWS_WITH_AS(qad::perform_run(other, text, nullptr, run, true),
                       doctest::Contains("another seed"), std::invalid_argument);
  CHECK_FALSE(qad::read_json(run / "options.json")["run"].contains("rate_changes"));

  other.training.seed = options.training.seed;
  qad::perform_run(other, text, nullptr, run, true);
  const nlohmann::ordered_json noted = qad::read_json(run / "options.json")["run"];
  CHECK(noted["learning_rate"] == 6e4);
  const auto changes = noted.value("rate_changes", nlohmann::ordered_json::array());
  REQUIRE(changes.size() == 1);
  CHECK(changes[0]["from_step"] == step);
  CHECK(changes[0]["learning_rate"] == 1e-3);

  // The first command, which names no rate to go on with, knows the folder.
  CHECK_NOTHROW(qad::perform_run(options, text, nullptr, run, true));
  CHECK_THROWS_WITH_AS(qad::perform_run(other, text, nullptr, run, true),
                       doctest::Contains("is finished"), std::invalid_argument);

  // The same again, by what was noted.
  qad::run_options again = qad::load_run(run).options;
  CHECK(again.training.rate_changes == std::vector<qad::rate_change>{{step, 1e-3}});
  CHECK(qad::to_json(qad::run_options_from_json(qad::to_json(again))) == qad::to_json(again));
  qad::perform_run(again, text, nullptr, folder / "again", true);
  for (const char* file : {"checkpoint", "log.csv", "quality.csv"}) {
    CAPTURE(std::string{file});
    CHECK(read_bytes(run / file) == read_bytes(folder / "again" / file));
  }
}

TEST_CASE("a rate to go on with is noted once, and again where it is another") {
  const temporary_folder folder;
  qad::run_options options = small_options();
  options.training.steps = 4;
  const qad::corpus text = small_corpus(options);
  // Before its first checkpoint a run begins anew.
  options.resume_learning_rate = 2e-3;
  qad::perform_run(options, text, nullptr, folder / "a", true);
  std::filesystem::remove(folder / "a" / "result.json");
  qad::perform_run(options, text, nullptr, folder / "a", true);
  const auto noted = [&] { return qad::load_run(folder / "a").options.training.rate_changes; };
  CHECK(noted() == std::vector<qad::rate_change>{{0, 2e-3}});
  std::filesystem::remove(folder / "a" / "result.json");
  options.resume_learning_rate = 3e-3;
  qad::perform_run(options, text, nullptr, folder / "a", true);
  CHECK(noted() == std::vector<qad::rate_change>{{0, 2e-3}, {4, 3e-3}});
}
