// SPDX-License-Identifier: Apache-2.0
// The sub-command that draws runs side by side.
#include "qad/plot_command.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "qad/command_line.hpp"
#include "support/system.hpp"

namespace {

std::string run_with(const temporary_folder& folder, const char* name, const char* file,
                     std::string_view text) {
  const std::filesystem::path run = folder / name;
  std::filesystem::create_directory(run);
  write_bytes(run / file, std::as_bytes(std::span{text}));
  return run.string();
}

}  // namespace

TEST_CASE("runs with evaluations are curves, one that learned nothing is a level") {
  const temporary_folder folder;
  const std::string learned = run_with(folder, "learned", "quality.csv",
                                       "step,tokens,perplexity,divergence\n"
                                       "1,1000,40,0.5\n2,2000,30,0.25\n"),
                    rounding = run_with(folder, "rounding", "result.json",
                                        R"({"perplexity": 70, "divergence": 0.75})"),
                    output = (folder / "out.svg").string();
  const support::outcome done = qad::run({"plot", learned, rounding, "--output", output});
  CHECK(done.message.empty());
  CHECK(done.code == 0);
  const std::string svg = support::read_text(output);
  CHECK(svg.find(">learned</text>") != std::string::npos);
  CHECK(svg.find(">rounding</text>") != std::string::npos);
  CHECK(svg.find("KL to the teacher") != std::string::npos);
  // The axis goes from 0.2, at 430 pixels, to 0.8, at 50: ticks are 0.1 apart. The level is one
  // height as far as the curve goes, and dashed.
  const std::size_t dashed = svg.find("stroke-dasharray");
  REQUIRE(dashed != std::string::npos);
  const std::size_t points = svg.find("points=\"", dashed) + 8;
  CHECK(svg.substr(points, svg.find('"', points) - points) == "70.0,81.7 700.0,81.7 ");
  CHECK(svg.find("points=\"385.0,240.0 700.0,398.3 \"") != std::string::npos);
  CHECK(svg.find("cx=\"385\" cy=\"240\"") != std::string::npos);  // each measurement is a dot
}

TEST_CASE("runs that have nothing to draw are named") {
  const temporary_folder folder;
  const std::string output = (folder / "out.svg").string(),
                    empty = run_with(folder, "empty", "log.csv", "step\n"),
                    rounding = run_with(folder, "rounding", "result.json",
                                        R"({"perplexity": 70, "divergence": 0.75})"),
                    broken = run_with(folder, "broken", "result.json", R"({"perplexity": "70"})");
  const auto refused = [&](const std::string& run, const char* why) {
    const support::outcome end = qad::run({"plot", run, "--output", output});
    CHECK(end.code == 1);
    CHECK_MESSAGE(end.message.find(why) != std::string::npos, end.message);
    CHECK(!std::filesystem::exists(output));
  };
  refused(empty, "there is nothing to draw");
  refused(rounding, "--evaluate-every");
  refused(broken, "perplexity and divergence");
}
