// SPDX-License-Identifier: Apache-2.0
/// qad_mpi as a person starts it: by mpirun, in 1, 2 and 4 processes, of which some are killed.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/temporary_folder.hpp"
#include "qad/checkpoint.hpp"
#include "qad/command_line.hpp"
#include "qad/small_run.hpp"
#include "qad/text_file.hpp"
#include "support/system.hpp"

namespace {

using namespace std::chrono_literals;
using arguments = std::vector<std::string>;

arguments split(const std::string& line) {
  std::istringstream text(line);
  return {std::istream_iterator<std::string>(text), {}};
}

/// mpirun with some processes of qad_mpi, under way.
class started {
 public:
  started(std::size_t processes, const arguments& words, const std::filesystem::path& errors)
      : errors_(errors) {
    arguments all{EDGERAZOR_TEST_MPIRUN, "-n", std::to_string(processes), EDGERAZOR_TEST_QAD_MPI};
    all.insert(all.end(), words.begin(), words.end());
    std::vector<char*> pointers;
    for (std::string& word : all) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ != 0) return;
    const int file = ::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int none = ::open("/dev/null", O_RDWR);
    ::dup2(none, 0);
    ::dup2(none, 1);
    ::dup2(file, 2);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  started(const started&) = delete;
  ~started() {
    if (!ended()) ::kill(child_, SIGTERM), static_cast<void>(code());
  }

  [[nodiscard]] bool ended() {
    if (!done_) done_ = ::waitpid(child_, &status_, WNOHANG) == child_;
    return done_;
  }
  /// Of mpirun, when it has ended; -1 where a signal has ended it.
  int code() {
    if (!done_) done_ = ::waitpid(child_, &status_, 0) == child_;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }
  [[nodiscard]] std::string errors() const { return support::read_text(errors_); }

  /// Kills the process of a rank; whether it was there.
  bool kill(std::size_t rank) const {
    const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
    for (const auto& one : std::filesystem::directory_iterator("/proc")) {
      const ::pid_t id = static_cast<::pid_t>(std::atol(one.path().filename().c_str()));
      if (id <= 0 || parent_of(id) != child_) continue;
      const std::vector<std::string> words = environment_of(id);
      if (std::ranges::find(words, wanted) == words.end()) continue;
      return ::kill(id, SIGKILL) == 0;
    }
    return false;
  }

 private:
  static ::pid_t parent_of(::pid_t id) {
    std::ifstream file("/proc/" + std::to_string(id) + "/stat");
    std::string text;
    std::getline(file, text);
    if (text.rfind(')') == std::string::npos) return 0;
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string state;
    ::pid_t parent = 0;
    fields >> state >> parent;
    return parent;
  }
  static std::vector<std::string> environment_of(::pid_t id) {
    std::ifstream file("/proc/" + std::to_string(id) + "/environ", std::ios::binary);
    std::vector<std::string> words;
    for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
    return words;
  }

  std::filesystem::path errors_;
  ::pid_t child_ = -1;
  int status_ = 0;
  bool done_ = false;
};

/// A text, and the command lines of runs over it.
struct workshop {
  temporary_folder folder;
  std::string text = (folder / "text.txt").string();

  workshop() { qad::write_text_file(text, small_text(6000)); }
  [[nodiscard]] arguments teacher(const char* name, std::size_t steps) const {
    arguments words = split(
        "teacher --vocabulary 288 --hidden 64 --layers 2 --heads 4 --kv-heads 2 --head-size 16 "
        "--context 16 --feed-forward 96 --sequences 4 --shards 4 --threads 1 --split-block 200 "
        "--split-every 5 --checkpoint-every 5 --evaluate-every 7 --validation-tokens 100 "
        "--learning-rate 0.01");
    words.insert(words.end(),
                 {"--steps", std::to_string(steps), "--folder", path(name), "--text", text});
    return words;
  }
  [[nodiscard]] arguments student(const char* name, const char* teacher_name) const {
    arguments words = split(
        "student --recipe w1_88 --steps 8 --sequences 4 --shards 4 --threads 1 --evaluate-every 3 "
        "--validation-tokens 100 --confidence-k 257");
    words.insert(words.end(), {"--folder", path(name), "--teacher", path(teacher_name)});
    return words;
  }
  [[nodiscard]] std::string path(const char* name) const { return (folder / name).string(); }
  [[nodiscard]] std::filesystem::path errors() const { return folder / "errors"; }
  void check_same(const char* a, const char* b) const {
    for (const char* file : {"checkpoint", "best", "log.csv", "quality.csv", "options.json"}) {
      CAPTURE(std::string{a} + "/" + file);
      CHECK(read_bytes(folder / a / file) == read_bytes(folder / b / file));
    }
  }
};

bool wait_for(const std::filesystem::path& path, started& run) {
  for (int i = 0; i < 3000 && !run.ended(); ++i) {
    if (std::filesystem::exists(path)) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

}  // namespace

TEST_CASE("qad_mpi: the folder is the same in 1, 2 and 4 processes, and that of qad") {
  const workshop at;
  const support::outcome teacher = qad::run(at.teacher("teacher", 20));
  REQUIRE(teacher.message == "");
  REQUIRE(qad::run(at.student("alone", "teacher")).message == "");
  const char* const names[] = {"one", "two", "four"};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::size_t processes = std::size_t{1} << i;
    CAPTURE(processes);
    started run(processes, at.student(names[i], "teacher"), at.errors());
    CHECK(run.code() == 0);
    CHECK(run.errors().find("rank") == std::string::npos);
    at.check_same(names[i], "alone");
  }
}

TEST_CASE("qad_mpi: what is refused is said once, with the exit code of qad") {
  const workshop at;
  started run(2, {"export", at.path("nothing"), "--output", at.path("x.gguf")}, at.errors());
  CHECK(run.code() == 1);
  const std::string said = run.errors();
  const std::string sentence = "export is the work of one process, and 2 were started";
  CHECK(said.find("qad_mpi: " + sentence) != std::string::npos);
  CHECK(said.find(sentence) == said.rfind(sentence));

  arguments odd = at.teacher("odd", 8);
  const auto shards = std::ranges::find(odd, std::string{"--shards"});
  *(shards + 1) = "1";
  started uneven(2, odd, at.errors());
  CHECK(uneven.code() == 1);
  CHECK(uneven.errors().find("2 processes share 1 shards of a batch") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(at.path("odd")));
}

TEST_CASE("qad_mpi: a killed process ends all of them, with a sentence and a whole checkpoint") {
  const workshop at;
  for (const std::size_t rank : {0u, 1u}) {
    CAPTURE(rank);
    const std::filesystem::path folder = at.path(rank == 0 ? "first" : "second");
    started run(2, at.teacher(rank == 0 ? "first" : "second", 100'000), at.errors());
    REQUIRE(wait_for(folder / "checkpoint", run));
    CHECK(run.kill(rank));
    CHECK(run.code() > 0);
    CAPTURE(run.errors());
    CHECK(run.errors().find("rank " + std::to_string(rank)) != std::string::npos);
    const qad::checkpoint left = qad::read_checkpoint(folder / "checkpoint");
    CHECK(left.step % 5 == 0);
    CHECK(left.step > 0);
  }
}

TEST_CASE("qad_mpi: two processes that are killed ten times end as if nothing had happened") {
  const std::uint64_t seed = std::random_device{}();
  MESSAGE("seed " << seed);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const workshop at;
  constexpr std::size_t steps = 40;
  using clock = std::chrono::steady_clock;
  const clock::time_point begin = clock::now();
  {
    started whole(2, at.teacher("whole", steps), at.errors());
    REQUIRE(whole.code() == 0);
  }
  const auto lasted = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begin);
  const std::filesystem::path folder = at.path("killed");
  std::size_t kills = 0, finished = 0, on_the_way = 0;
  while (kills < 10) {
    if (std::filesystem::exists(folder / "result.json")) {
      at.check_same("killed", "whole");
      std::filesystem::remove_all(folder);
      ++finished;
    }
    started run(2, at.teacher("killed", steps), at.errors());
    std::this_thread::sleep_for(lasted * static_cast<int>(random() % 1000) / 1000);
    const bool there = run.kill(random() % 2);
    const bool failed = run.code() != 0;
    if (there && failed) ++kills;
    on_the_way += failed && std::filesystem::exists(folder / "checkpoint") ? 1 : 0;
  }
  MESSAGE(on_the_way << " kills left a checkpoint, " << finished << " runs were faster");
  started last(2, at.teacher("killed", steps), at.errors());
  CHECK(last.code() == 0);
  at.check_same("killed", "whole");
}
