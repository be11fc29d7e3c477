// SPDX-License-Identifier: Apache-2.0
// The command lines about data and configurations: what they take, and what they refuse by name.
#include "qad/data_commands.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "qad/command_line.hpp"
#include "small_teacher.hpp"
#include <edgerazor/io/top_k_file.hpp>

namespace {

std::string file_with(const temporary_folder& folder, const char* name, std::string_view text) {
  write_bytes(folder / name, std::as_bytes(std::span{text}));
  return (folder / name).string();
}

}  // namespace

TEST_CASE("prompts become data, data becomes windows") {
  const temporary_folder folder;
  const std::string model = (folder / "teacher.gguf").string(),
                    output = (folder / "out.jsonl").string();
  write_small_teacher(model);
  const std::string prompts = file_with(folder, "prompts.txt", "One\nTwo\nThree\n");
  const std::vector<std::string> write{"write-data", "--model",  model,      "--input", prompts,
                                       "--output",   output,     "--tokens", "6",       "--context",
                                       "120",        "--system", "",         "--top-k", "4"};
  const support::outcome first = qad::run(write);
  CHECK(first.message.empty());
  CHECK(first.code == 0);
  CHECK(edgerazor::top_k_file::open(folder / "out.topk").sequences() == 3);
  const support::outcome again = qad::run(write);
  CHECK(again.code == 1);
  CHECK(again.message.find("is there already") != std::string::npos);

  const std::string topk = (folder / "out.topk").string();
  CHECK(qad::run({"inspect-data", "--model", model, output + "=2", topk, prompts, "--window", "64"})
            .code == 0);
  const support::outcome bad =
      qad::run({"inspect-data", "--model", model, output + "=0", "--window", "64"});
  CHECK(bad.code == 1);
  CHECK(bad.message.find("FILE=WEIGHT") != std::string::npos);
}

TEST_CASE("numbers of write-data are refused by name") {
  struct wrong {
    const char *option, *value, *expected;
  };
  for (const wrong& w : {wrong{"--temperature", "-1", "expected 0 or more"},
                         {"--temperature", "nan", "expected 0 or more"},
                         {"--top-p", "0", "expected more than 0 and at most 1"},
                         {"--min-p", "2", "expected 0 to 1"},
                         {"--tokens", "0", "expected more than 0"},
                         {"--context", "1", "expected 2 to"},
                         {"--sequences", "129", "expected 1 to 128"},
                         {"--top-k", "70000", "expected 0 to 65536"},
                         {"--longest", "1", "expected 2 to"},
                         {"--seed", "x", "expected 0 or more"},
                         {"--threads", "0", "expected 1 to"}}) {
    CAPTURE(w.option);
    const support::outcome end = qad::run(
        {"write-data", "--model", "a", "--input", "b", "--output", "c.jsonl", w.option, w.value});
    CHECK(end.code == 2);
    CHECK(end.message.find(std::string{w.option} + ": ") != std::string::npos);
    CHECK(end.message.find(w.expected) != std::string::npos);
  }
}

TEST_CASE("configurations are shown, and take the place of options that they exclude") {
  const temporary_folder folder;
  const std::string good = file_with(folder, "a.yaml", "loss_1:\n  alpha: 3\n"),
                    bad = file_with(folder, "b.yaml", "loss_1:\n  alhpa: 3\n");
  CHECK(qad::run({"inspect-config", good}).code == 0);
  const support::outcome end = qad::run({"inspect-config", bad});
  CHECK(end.code == 1);
  CHECK(end.message.find("line 2: the key 'alhpa' of loss_1") != std::string::npos);
  for (const std::vector<std::string>& other :
       {std::vector<std::string>{"--recipe", "w4"}, {"--task-weight", "1"}, {"--no-features"}}) {
    std::vector<std::string> line{"student", "--folder", "a", "--teacher", "b", "--config", good};
    line.insert(line.end(), other.begin(), other.end());
    const support::outcome both = qad::run(line);
    CHECK(both.code == 2);
    CHECK(both.message.find("--config") != std::string::npos);
  }
}
