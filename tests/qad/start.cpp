// SPDX-License-Identifier: Apache-2.0
// A student that starts elsewhere than at its teacher.
#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "io/temporary_folder.hpp"
#include "qad/command_line.hpp"
#include "qad/trained_model.hpp"
#include "small_run.hpp"
#include "small_teacher.hpp"
#include "support/system.hpp"

TEST_CASE("a student starts at --start, is measured against the teacher, and keeps to both") {
  const temporary_folder folder;
  const std::string teacher = (folder / "teacher.gguf").string(),
                    other = (folder / "other.gguf").string(), text = (folder / "text").string(),
                    run = (folder / "run").string();
  write_small_teacher(teacher);
  const std::string words = small_text(6000);
  write_bytes(text, std::as_bytes(std::span{words}));
  const auto student = [&](std::vector<std::string> more) {
    std::vector<std::string> all{
        "student", "--teacher", teacher, "--text",  text, "--split-block", "200", "--split-every",
        "5",       "--window",  "16",    "--steps", "3"};
    all.insert(all.end(), more.begin(), more.end());
    return qad::run(all);
  };
  // Another model of the same shape: the teacher, trained on.
  const std::string trained = (folder / "trained").string();
  REQUIRE(student({"--folder", trained, "--method", "qat", "--recipe", "none", "--learning-rate",
                   "0.01"})
              .code == 0);
  REQUIRE(qad::run({"export", trained, "--recipe", "none", "--output", other}).code == 0);

  // Steps too small for a float to see: what comes out is where it started.
  const std::vector<std::string> stay{"--folder",        run,    "--recipe",       "none",
                                      "--start",         other,  "--weight-decay", "0",
                                      "--learning-rate", "1e-30"};
  CHECK(student(stay).message.empty());
  const auto same_weights = [](const std::string& a, const std::string& b) {
    const qad::parameters one(*qad::open_teacher(a).weights), two(*qad::open_teacher(b).weights);
    return std::ranges::equal(one.values(), two.values());  // by value: 0 may have become -0
  };
  const std::string ended = (folder / "ended.gguf").string();
  REQUIRE(qad::run({"export", run, "--recipe", "none", "--output", ended}).code == 0);
  CHECK(same_weights(ended, other));
  CHECK_FALSE(same_weights(ended, teacher));

  // The same folder without it, or with another, is another run.
  CHECK(student({"--folder", run, "--recipe", "none", "--weight-decay", "0", "--learning-rate",
                 "1e-30"})
            .message.find("another start") != std::string::npos);

  // Rounding starts there too: with nothing to round it is at a distance from the teacher.
  const std::string rounded = (folder / "rounded").string();
  CHECK(student({"--folder", rounded, "--method", "rounding", "--recipe", "none", "--start", other})
            .code == 0);
  const auto result =
      nlohmann::json::parse(support::read_text(std::filesystem::path{rounded} / "result.json"));
  CHECK(result["divergence"].get<double>() > 0);
}
