// SPDX-License-Identifier: Apache-2.0
// A file of a teacher's top k grows by whole sequences: a writer that goes on makes the file of one
// that was never stopped, and what a reader would refuse is not written.
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include "top_k_sequences.hpp"
#include <edgerazor/io/top_k_file.hpp>
#include <edgerazor/io/top_k_writer.hpp>

#if EDGERAZOR_POSIX
#include <sys/resource.h>
#endif

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/top_k_writer");

TEST_CASE("a writer that goes on writes the bytes of one that never stopped") {
  const temporary_folder folder;
  const std::vector<top_k_data> all = some_sequences();
  const auto whole = folder / "whole", part = folder / "part";
  std::vector<std::size_t> ends{64};
  {
    er::top_k_writer writer(whole, 3, 11);
    for (const top_k_data& one : all) {
      one.add_to(writer);
      ends.push_back(std::filesystem::file_size(whole));  // what is added is there at once
    }
  }
  const std::vector<std::byte> expected = read_bytes(whole);
  // Killed after any number of bytes, and gone on with behind any sequence that is there.
  for (std::size_t size = 64; size <= expected.size(); size += size % 64 == 0 ? 1 : 63) {
    std::size_t there = 0;
    while (there + 1 < ends.size() && ends[there + 1] <= size) ++there;
    for (std::size_t keep = 0; keep <= there; ++keep) {
      write_bytes(part, std::span{expected}.first(size));
      {
        er::top_k_writer writer = er::top_k_writer::resume(part, 3, 11, keep);
        CHECK(writer.sequences() == keep);
        for (std::size_t i = keep; i < all.size(); ++i) all[i].add_to(writer);
      }
      CAPTURE(size);
      CAPTURE(keep);
      CHECK(read_bytes(part) == expected);
    }
    write_bytes(part, std::span{expected}.first(size));
    if (there < all.size())
      CHECK_THROWS_AS((void)er::top_k_writer::resume(part, 3, 11, there + 1), er::io_error);
    CHECK(read_bytes(part).size() == size);  // and it is as it was
  }
}

TEST_CASE("a file of another kind is not gone on with") {
  const temporary_folder folder;
  const auto path = folder / "a";
  {
    er::top_k_writer writer(path, 3, 11);
  }
  CHECK_THROWS_WITH_AS((void)er::top_k_writer::resume(path, 4, 11, 0),
                       doctest::Contains("has K 3 of a vocabulary of 11, expected 4 of 11"),
                       er::io_error);
  CHECK_THROWS_AS((void)er::top_k_writer::resume(path, 3, 12, 0), er::io_error);
  CHECK_THROWS_AS((void)er::top_k_writer::resume(folder / "none", 3, 11, 0), er::io_error);
  write_bytes(path, std::vector<std::byte>(100));
  CHECK_THROWS_WITH_AS((void)er::top_k_writer::resume(path, 3, 11, 0),
                       doctest::Contains("is no file of a teacher's top k"), er::io_error);
  CHECK(read_bytes(path).size() == 100);
  CHECK_THROWS_WITH_AS(er::top_k_writer(folder / "no" / "folder", 3, 11),
                       doctest::Contains("can't write"), er::io_error);
}

TEST_CASE("what a reader would refuse is not written") {
  const temporary_folder folder;
  er::top_k_writer writer(folder / "a", 2, 9);
  const top_k_data good{{1, 2}, {-100, 2}, {3, 4, 5, -1}, {-1, -2, -0.5f, 0}};
  const auto refuses = [&](const char* sentence, auto&& change) {
    top_k_data bad = good;
    change(bad);
    CHECK_THROWS_WITH_AS(bad.add_to(writer), doctest::Contains(sentence), std::invalid_argument);
  };
  refuses("token 0 has id 9", [](top_k_data& d) { d.tokens[0] = 9; });
  refuses("token 1 has the label 3", [](top_k_data& d) { d.labels[1] = 3; });
  refuses("id 3 twice", [](top_k_data& d) { d.ids[1] = 3; });
  refuses("id 9 of a vocabulary of 9", [](top_k_data& d) { d.ids[0] = 9; });
  refuses("log-probability nan",
          [](top_k_data& d) { d.logs[0] = std::numeric_limits<float>::quiet_NaN(); });
  refuses("id 4 with a log-probability above 0", [](top_k_data& d) { d.logs[1] = 1e-9f; });
  refuses("add up to 1.1", [](top_k_data& d) { d.logs[0] = 0; });
  refuses("2 tokens have 1 labels, ids 2 x 2", [](top_k_data& d) { d.labels.pop_back(); });
  refuses("ids 2 x 1", [](top_k_data& d) { d.ids.resize(2); });
  CHECK(writer.sequences() == 0);
  CHECK(std::filesystem::file_size(folder / "a") == 64);
  good.add_to(writer);
  CHECK(er::top_k_file::open(folder / "a").sequence(0).tokens[1] == 2);
  for (const std::size_t k : {std::size_t{0}, std::size_t{10}})
    CHECK_THROWS_AS(er::top_k_writer(folder / "b", k, 9), std::invalid_argument);
}

#if EDGERAZOR_POSIX
TEST_CASE("after a write that failed nothing more is written, and a writer goes on from there") {
  // A limit on the size of files stands in for a full disk.
  const temporary_folder folder;
  const std::vector<top_k_data> all = some_sequences();
  std::vector<std::byte> expected;
  {
    er::top_k_writer writer(folder / "whole", 3, 11);
    for (const std::size_t i : std::vector<std::size_t>{0, 2, 3}) all[i].add_to(writer);
    expected = read_bytes(folder / "whole");
  }
  {
    er::top_k_writer writer(folder / "a", 3, 11);
    all[0].add_to(writer);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    rlimit limited = before;
    limited.rlim_cur = std::filesystem::file_size(folder / "a") + 20;
    auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limited) == 0);
    CHECK_THROWS_AS(all[2].add_to(writer), er::io_error);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, handler);
    CHECK_THROWS_WITH_AS(all[3].add_to(writer), doctest::Contains("can't write"), er::io_error);
    CHECK(writer.sequences() == 1);
  }
  {
    er::top_k_writer writer = er::top_k_writer::resume(folder / "a", 3, 11, 1);
    for (const std::size_t i : std::vector<std::size_t>{2, 3}) all[i].add_to(writer);
  }
  CHECK(read_bytes(folder / "a") == expected);
}
#endif

#ifdef __linux__
TEST_CASE("a full device is named") {
  CHECK_THROWS_WITH_AS(er::top_k_writer("/dev/full", 2, 9),
                       doctest::Contains("can't write '/dev/full'"), er::io_error);
}
#endif

TEST_CASE("a writer that was moved from fails") {
  const temporary_folder folder;
  er::top_k_writer a(folder / "a", 2, 10);
  const er::top_k_writer b = std::move(a);
  CHECK_THROWS_AS(a.add({}, {}, {}, {}), std::invalid_argument);
}

TEST_SUITE_END();
