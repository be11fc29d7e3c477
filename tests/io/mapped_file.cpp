// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/mapped_file.hpp>

#if EDGERAZOR_POSIX
#include <sys/stat.h>
#endif

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/mapped_file");

TEST_CASE("mapped and read files hold the same bytes, at a page") {
  const temporary_folder folder;
  std::vector<std::byte> bytes(3 * er::mapped_file::page + 17);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 % 251);
  write_bytes(folder / "file", bytes);
  for (const er::file_access access : {er::file_access::map, er::file_access::read}) {
    er::mapped_file file = er::mapped_file::open(folder / "file", access);
    const std::byte* const data = file.bytes().data();
    REQUIRE(file.bytes().size() == bytes.size());
    CHECK(std::memcmp(data, bytes.data(), bytes.size()) == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(data) % er::mapped_file::page == 0);

    er::mapped_file moved = std::move(file);
    CHECK(moved.bytes().data() == data);
    file = std::move(moved);
    CHECK(file.bytes().data() == data);
    er::mapped_file other = er::mapped_file::open(folder / "file", access);
    other = std::move(file);
    CHECK(other.bytes().data() == data);
    CHECK(file.bytes().empty());  // moved from
    file = std::move(other);

    // Dropped pages come back with the same bytes.
    file.drop(file.bytes());
    file.drop(file.bytes().subspan(5, 2 * er::mapped_file::page));
    file.drop(file.bytes().subspan(bytes.size()));
    CHECK(std::memcmp(data, bytes.data(), bytes.size()) == 0);
  }
}

TEST_CASE("an empty file has no bytes") {
  const temporary_folder folder;
  write_bytes(folder / "empty", {});
  for (const er::file_access access : {er::file_access::map, er::file_access::read}) {
    CHECK(er::mapped_file::open(folder / "empty", access).bytes().empty());
  }
}

TEST_CASE("what is no readable regular file is refused in a sentence with its path") {
  const temporary_folder folder;
#if EDGERAZOR_POSIX
  // Opening a pipe must not wait for a writer.
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
#else
  std::filesystem::create_directory(folder / "pipe");
#endif
  for (const er::file_access access : {er::file_access::map, er::file_access::read}) {
    CHECK_THROWS_WITH_AS((void)er::mapped_file::open(folder.path, access),
                         doctest::Contains("not a regular file"), er::io_error);
    CHECK_THROWS_WITH_AS((void)er::mapped_file::open(folder / "pipe", access),
                         doctest::Contains("not a regular file"), er::io_error);
    CHECK_THROWS_WITH_AS((void)er::mapped_file::open(folder / "missing", access),
                         doctest::Contains("missing"), er::io_error);
    std::string error;
    CHECK_FALSE(er::mapped_file::try_open(folder / "a\x1b[2J", error, access));
    CHECK(error.find("a\\x1b[2J'") != std::string::npos);
    CHECK_FALSE(er::mapped_file::try_open(folder / "missing", error, access));
    CHECK(error.find("missing") != std::string::npos);
  }
}

TEST_CASE("what was moved from has no bytes, by assignment too") {
  const temporary_folder folder;
  const std::filesystem::path one = folder / "one", two = folder / "two";
  write_bytes(one, std::vector<std::byte>(1));
  write_bytes(two, std::vector<std::byte>(2));
  for (const er::file_access access : {er::file_access::map, er::file_access::read}) {
    er::mapped_file a = er::mapped_file::open(one, access), b = er::mapped_file::open(two, access);
    a = std::move(b);
    CHECK(a.bytes().size() == 2);
    CHECK(b.bytes().empty());  // NOLINT(bugprone-use-after-move): what is left is defined
    er::mapped_file& same = a;
    a = std::move(same);
    CHECK(a.bytes().size() == 2);
  }
}

TEST_SUITE_END();
