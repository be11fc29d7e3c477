// SPDX-License-Identifier: Apache-2.0
// `qad student` from conversations and from a teacher's top k: what it learns, how it goes on, and
// what it refuses by name.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "qad/checkpoint.hpp"
#include "qad/command_line.hpp"
#include "qad/packed_batches.hpp"
#include "qad/run.hpp"
#include "small_run.hpp"
#include "small_teacher.hpp"

namespace {

constexpr std::string_view two_conversations =
    R"({"messages": [{"role": "user", "content": "Tea?"}, )"
    R"({"role": "assistant", "content": "Yes, please."}]})"
    "\n"
    R"({"messages": [{"role": "user", "content": "Sugar?"}, )"
    R"({"role": "assistant", "content": "No sugar, no."}, )"
    R"({"role": "user", "content": "Milk?"}, {"role": "assistant", "content": "No."}]})"
    "\n";

/// A teacher, two conversations, and a text to measure on.
struct fixture {
  temporary_folder folder;
  std::string model = (folder / "teacher.gguf").string(), chats = file("chats.jsonl"),
              text = file("text.txt");

  fixture() {
    write_small_teacher(model);
    write(chats, two_conversations);
    write(text, small_text(1000));
  }
  [[nodiscard]] std::string file(const char* name) const { return (folder / name).string(); }
  static void write(const std::string& path, std::string_view bytes) {
    write_bytes(path, std::as_bytes(std::span{bytes}));
  }
  [[nodiscard]] support::outcome student(const char* name,
                                         const std::vector<std::string>& more) const {
    std::vector<std::string> line{
        "student", "--teacher",       model,  "--folder",           file(name), "--text",
        text,      "--split-block",   "200",  "--split-every",      "2",        "--recipe",
        "w4",      "--window",        "48",   "--sequences",        "2",        "--steps",
        "40",      "--learning-rate", "1e-2", "--checkpoint-every", "10"};
    line.insert(line.end(), more.begin(), more.end());
    return qad::run(line);
  }
  void refuses(const std::vector<std::string>& more, int code, const char* sentence) const {
    const std::size_t before = folder.files();
    const support::outcome end = student("none", more);
    CAPTURE(end.message);
    CHECK(end.code == code);
    CHECK(end.message.find(sentence) != std::string::npos);
    CHECK(folder.files() == before);
  }
  /// Of the first and of the last quarter of a run.
  [[nodiscard]] bool learned(const char* name, const char* column) const {
    const auto curve = qad::read_log(folder / name, column, 4);
    return curve[3].second < 0.8 * curve[0].second;
  }
};

}  // namespace

TEST_CASE("a student learns from two conversations, and goes on where it was killed") {
  const fixture f;
  const std::vector<std::string> data{"--data", f.chats + "=2", "--system", ""};
  const support::outcome end = f.student("whole", data);
  REQUIRE(end.message.empty());
  CHECK(end.code == 0);
  CHECK(f.learned("whole", "task"));
  CHECK(f.student("whole", data).code == 0);  // finished
  // What a run learned from and is measured with is not written over.
  for (const std::string& path : {f.model, f.chats, f.text}) {
    const std::vector<std::byte> before = read_bytes(path);
    CHECK(qad::run({"export", f.file("whole"), "--output", path})
              .message.find("'" + path + "' is the file that the run reads") != std::string::npos);
    CHECK(read_bytes(path) == before);
  }
  const auto asks = [&](std::vector<std::string> other) {
    const support::outcome no = f.student("whole", other);
    CAPTURE(no.message);
    CHECK(no.code == 1);
    CHECK(no.message.find("holds a run with another data (") != std::string::npos);
  };
  asks({});
  asks({"--data", f.chats, "--system", ""});
  asks({"--data", f.chats + "=2", "--system", "Be brief."});

  // A checkpoint of step 10, and the same call.
  const qad::trained_model model = qad::load_run(f.folder / "whole");
  const qad::run_options& options = model.options;
  REQUIRE(options.data.size() == 1);
  CHECK(options.data[0].starts_with("2:"));
  CHECK(options.data_files == std::vector<std::string>{f.chats + "=2"});
  const qad::teacher_model teacher = qad::open_teacher(f.model);
  const std::vector<std::string> names{f.chats + "=2"};
  qad::packed_batches draw(qad::read_data(names, llm::tokenizer(teacher.words), {.system = ""}),
                           options.model.vocabulary, 2, 48, qad::batch_seed(options.training));
  qad::trainer run(options.model, options.training, teacher.weights.get());
  while (run.steps_done() < 10) {
    const qad::packed_batches::batch batch = draw(run.steps_done());
    run.step(batch.windows, batch.labels, batch.packed);
  }
  const auto state = run.checkpoint();
  std::filesystem::create_directory(f.folder / "killed");
  std::filesystem::copy_file(f.folder / "whole" / "options.json",
                             f.folder / "killed" / "options.json");
  qad::write_checkpoint(f.folder / "killed" / "checkpoint",
                        {10, "", &teacher.words, state.weights, state.moments, state.first_moments,
                         state.second_moments});
  CHECK(f.student("killed", data).code == 0);
  CHECK(read_bytes(f.folder / "killed" / "checkpoint") ==
        read_bytes(f.folder / "whole" / "checkpoint"));
}

TEST_CASE("a student learns from what its teacher said, which then does not run") {
  const fixture f;
  REQUIRE(qad::run({"write-data", "--model", f.model, "--input", f.chats, "--output",
                    f.file("kept.jsonl"), "--keep-answers", "--top-k", "8", "--system", "",
                    "--context", "200"})
              .code == 0);
  const std::string rows = f.file("kept.topk");
  const support::outcome end = f.student("student", {"--top-k-file", rows});
  REQUIRE(end.message.empty());
  CHECK(end.code == 0);
  CHECK(f.learned("student", "logits"));
  const qad::run_options options = qad::load_run(f.folder / "student").options;
  CHECK(options.training.stored_teacher);
  CHECK(!options.training.features);
  CHECK(options.data_files == std::vector<std::string>{rows});
  CHECK(f.student("student", {"--data", rows}).message.find("another features") !=
        std::string::npos);

  f.refuses({"--top-k-file", rows, "--data", f.chats}, 2, "--data");
  f.refuses({"--top-k-file", rows, "--feature-weight", "1"}, 2, "--feature-weight");
  f.refuses({"--top-k-file", rows, "--method", "qat"}, 1, "is for a method that distills");
  f.refuses({"--top-k-file", rows, "--logits-loss", "none"}, 1, "a loss between predictions");
  f.refuses({"--top-k-file", f.chats}, 1, "is no file of a teacher's top k");
  f.refuses({"--system", "x"}, 2, "--data");
  f.refuses({"--data", f.chats, "--method", "rounding"}, 1, "rounding learns from no data");
  f.refuses({"--data", f.chats + "=0"}, 1, "FILE=WEIGHT");
  f.refuses({"--data", f.file("missing.jsonl")}, 1, "missing.jsonl");
  fixture::write(f.file("bad.jsonl"), "{}\n");
  f.refuses({"--data", f.file("bad.jsonl")}, 1, "line 1");
  f.refuses({"--data", f.chats, f.file("bad.jsonl")}, 1, "line 1");
}
