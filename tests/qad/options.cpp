// SPDX-License-Identifier: Apache-2.0
// Options of no meaning are refused by name, before the folder of a run is made; so are those that
// a folder's file brings.
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "qad/command_line.hpp"
#include "qad/experiment.hpp"
#include "small_run.hpp"
#include <edgerazor/core/contract.hpp>

TEST_CASE("every number of the command line is refused by name, with what was expected") {
  const temporary_folder folder;
  struct wrong {
    const char *command, *option, *value, *expected;
  };
  for (const wrong& w :
       {wrong{"teacher", "--warmup", "2", "expected 0 to 1"},
        {"teacher", "--warmup", "nan", "expected 0 to 1"},
        {"teacher", "--learning-rate", "nan", "expected more than 0"},
        {"teacher", "--learning-rate", "inf", "expected more than 0"},
        {"teacher", "--learning-rate", "-1", "expected more than 0"},
        {"teacher", "--learning-rate", "0", "expected more than 0"},
        {"teacher", "--weight-decay", "-0.1", "expected 0 or more"},
        {"teacher", "--clip", "inf", "expected more than 0"},
        {"teacher", "--clip", "0", "expected more than 0"},
        {"teacher", "--steps", "-1", "expected more than 0"},
        {"teacher", "--sequences", "18446744073709551615", "expected 2 to"},
        {"teacher", "--seed", "1.5", "expected 0 or more"},
        {"teacher", "--threads", "65", "expected 1 to 64"},
        {"teacher", "--shards", "0", "expected 1 to 1024"},
        {"teacher", "--resume-with-learning-rate", "0", "expected more than 0"},
        {"teacher", "--optimizer-state", "half", "not in {float,bfloat16}"},
        {"teacher", "--vocabulary", "10", "expected 257 to"},
        {"teacher", "--hidden", "4294967296", "expected more than 0 and at most 1048576"},
        {"teacher", "--checkpoint-every", "0", "expected more than 0"},
        {"teacher", "--validation-tokens", "-1", "expected 0 to"},
        {"teacher", "--split-every", "1", "expected 2 to"},
        {"teacher", "--split-block", "0", "expected more than 0"},
        {"student", "--clip", "inf", "expected more than 0"},
        {"student", "--task-weight", "nan", "expected 0 or more"},
        {"student", "--logits-weight", "-1", "expected 0 or more"},
        {"student", "--feature-weight", "1e400", "expected 0 or more"},
        {"student", "--confidence-k", "1", "expected 2 to"},
        {"student", "--feature-layers", "0", "expected more than 0"},
        {"student", "--group", "6", "expected 0 to 65536, a multiple of 4"},
        {"student", "--group", "65540", "expected 0 to 65536, a multiple of 4"},
        {"experiment", "--seeds", "1000000000", "expected 1 to 1000"},
        {"experiment", "--jobs", "0", "expected 1 to 256"},
        {"experiment", "--teacher-steps", "0", "expected more than 0"},
        {"experiment", "--student-learning-rate", "nan", "expected more than 0"}}) {
    CAPTURE(w.option);
    CAPTURE(w.value);
    const support::outcome end =
        qad::run({w.command, "--folder", (folder / "run").string(), w.option, w.value});
    CHECK(end.code == 2);
    CHECK(end.message.find(std::string{w.option} + ": ") != std::string::npos);
    CHECK(end.message.find(w.expected) != std::string::npos);
    CHECK(end.message.size() < 200);
  }
  CHECK(qad::run({"evaluate", "x", "--window", "0"}).code == 2);
  CHECK(qad::run({"student", "--folder", "x", "--teacher", "x", "--tokens", "9", "--steps", "9"})
            .message.find("excludes") != std::string::npos);
  CHECK(qad::run({"studnet"}).message.find("did you mean 'student'?") != std::string::npos);
  CHECK(folder.files() == 0);
}

TEST_CASE("options of no meaning are refused before the folder of the run is made") {
  const temporary_folder folder;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const qad::run_options good = [] {
    qad::run_options options = small_options();
    (void)small_corpus(options);
    return options;
  }();
  qad::run_options text_options = good;
  const qad::corpus text = small_corpus(text_options);
  const auto refused = [&](auto change, const char* name) {
    qad::run_options options = good;
    change(options);
    CAPTURE(name);
    CHECK_THROWS_WITH_AS(qad::perform_run(options, text, nullptr, folder / "run", true),
                         doctest::Contains(name), std::invalid_argument);
    CHECK(folder.files() == 0);
  };
  CHECK_NOTHROW(qad::require_valid(good));
  refused([&](auto& o) { o.training.learning_rate = nan; }, "learning_rate");
  refused([&](auto& o) { o.training.warmup_fraction = 2; }, "warmup_fraction");
  refused([&](auto& o) { o.training.weight_decay = nan; }, "weight_decay");
  refused([&](auto& o) { o.training.clip = -1; }, "clip");
  refused([&](auto& o) { o.training.task_weight = nan; }, "task_weight");
  refused([&](auto& o) { o.training.logits_weight = -1; }, "logits_weight");
  refused([&](auto& o) { o.training.feature_weight = nan; }, "feature_weight");
  refused([&](auto& o) { o.training.sequences = 3; }, "3 sequences");
  refused([&](auto& o) { o.training.steps = 0; }, "steps");
  for (const std::size_t group : {0, 6, 65540}) {
    refused([&](auto& o) { o.training.group = group; }, "expected 4 to 65536, a multiple of 4");
  }
  refused([&](auto& o) { o.checkpoint_every = 0; }, "checkpoint_every");
  refused([&](auto& o) { o.split.every = 1; }, "split_every");
  refused([&](auto& o) { o.model.norm_epsilon = 0; }, "norm_epsilon");
  refused([&](auto& o) { o.model.rope_base = std::numeric_limits<float>::infinity(); },
          "rope_base");
  refused([&](auto& o) { o.model.heads = std::size_t{1} << 63; }, "size of its shape");
  refused([&](auto& o) { o.model.hidden = o.model.feed_forward = 1 << 20; }, "would take");
  refused([&](auto& o) { o.training.sequences = 0xfffffffe; }, "would take");
  refused([&](auto& o) { o.text_files = {"Caf\xe9.txt"}; }, "is not UTF-8");
  refused([&](auto& o) { o.teacher_folder = "Caf\xe9"; }, "is not UTF-8");
  refused(
      [&](auto& o) {
        o.training.how = qad::method::qad;
        o.training.confidence_k = 100'000;
      },
      "confidence_k");
  refused(
      [&](auto& o) {
        o.training.how = qad::method::qad;
        o.training.task_weight = o.training.logits_weight = o.training.feature_weight = 0;
      },
      "nothing to learn");
}

TEST_CASE("what is written of a run replaces nothing that the run is made of") {
  const temporary_folder folder;
  const std::string text = (folder / "text").string(), run = (folder / "run").string();
  const std::string words = small_text(6000);
  write_bytes(text, std::as_bytes(std::span{words}));
  REQUIRE(qad::run({"teacher", "--folder",      run,  "--text",         text,  "--split-block",
                    "200",     "--split-every", "5",  "--vocabulary",   "288", "--hidden",
                    "32",      "--layers",      "1",  "--heads",        "2",   "--kv-heads",
                    "1",       "--head-size",   "16", "--feed-forward", "32",  "--context",
                    "16",      "--steps",       "1",  "--sequences",    "2"})
              .message.empty());
  const std::string checkpoint = (folder / "run" / "checkpoint").string();
  const std::vector<std::byte> weights = read_bytes(checkpoint);
  for (const std::string& path : {text, checkpoint, run + "/options.json"}) {
    const std::string sentence = "'" + path + "' is the file that the run reads";
    CHECK(qad::run({"evaluate", run, "--write-text", path}).message.find(sentence) !=
          sentence.npos);
    CHECK(qad::run({"export", run, "--output", path}).message.find(sentence) != sentence.npos);
  }
  CHECK(read_bytes(checkpoint) == weights);
  CHECK(read_bytes(text).size() == words.size());
  CHECK(qad::run({"evaluate", run, "--write-text", (folder / "validation").string()}).code == 0);
  CHECK(qad::run({"evaluate", run, "--best"}).message.find("has no best weights") !=
        std::string::npos);
}

TEST_CASE("numbers of an options.json that are none are refused with their name") {
  qad::run_options options = small_options();
  (void)small_corpus(options);
  const nlohmann::ordered_json good = qad::to_json(options);
  CHECK(qad::to_json(qad::run_options_from_json(good)) == good);
  const auto refused = [&](const char* key, const nlohmann::ordered_json& value) {
    nlohmann::ordered_json bad = good;
    (good["run"].contains(key) ? bad["run"] : bad)[key] = value;
    CAPTURE(key);
    CAPTURE(value.dump());
    CHECK_THROWS_WITH_AS((void)qad::run_options_from_json(bad), doctest::Contains(key),
                         edgerazor::io_error);
  };
  for (const char* key :
       {"steps", "seed", "sequences", "vocabulary", "hidden", "layers", "heads", "context",
        "split_block", "validation_tokens", "checkpoint_every", "confidence_k"}) {
    for (const nlohmann::ordered_json& bad :
         {nlohmann::ordered_json(-1), nlohmann::ordered_json(1.5), nlohmann::ordered_json(nullptr),
          nlohmann::ordered_json("7"), nlohmann::ordered_json(nlohmann::ordered_json::array())})
      refused(key, bad);
  }
  for (const char* key : {"learning_rate", "warmup_fraction", "clip", "task_weight", "rope_base"}) {
    for (const nlohmann::ordered_json& bad :
         {nlohmann::ordered_json(nullptr), nlohmann::ordered_json("1"), nlohmann::ordered_json(-1)})
      refused(key, bad);
  }
  refused("features", 1);
  refused("recipe", 7);
  refused("text", 7);
  refused("text_files", "a");
  refused("method", "\x1b[2J");
  CHECK_THROWS_AS((void)qad::run_options_from_json(nlohmann::ordered_json::object()),
                  edgerazor::io_error);
}
