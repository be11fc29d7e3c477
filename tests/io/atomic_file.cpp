// SPDX-License-Identifier: Apache-2.0
// A file appears whole or not at all, also through the writer that models are written with.
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/gguf_writer.hpp>

#if EDGERAZOR_POSIX
#include <sys/resource.h>
#endif

namespace er = edgerazor;

namespace {

std::vector<std::byte> numbered(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 37 + 1);
  return bytes;
}

}  // namespace

TEST_SUITE_BEGIN("io/atomic_file");

TEST_CASE("the file has its name after commit and not before; what is given up leaves nothing") {
  const temporary_folder folder;
  const std::vector<std::byte> old = numbered(7), bytes = numbered(1000);
  write_bytes(folder / "a", old);
  {
    er::atomic_file file(folder / "a");
    file.write(bytes);
    CHECK(file.size() == bytes.size());
    CHECK(read_bytes(folder / "a") == old);
    CHECK(folder.files() == 2);
  }
  CHECK(read_bytes(folder / "a") == old);
  CHECK(folder.files() == 1);
  {
    er::atomic_file file(folder / "a");
    file.write(bytes);
    file.write(bytes);
    file.commit();
  }
  std::vector<std::byte> twice = bytes;
  twice.insert(twice.end(), bytes.begin(), bytes.end());
  CHECK(read_bytes(folder / "a") == twice);
  CHECK(folder.files() == 1);
  CHECK_THROWS_WITH_AS(er::atomic_file(folder / "missing" / "a"), doctest::Contains("can't create"),
                       er::io_error);
}

#if EDGERAZOR_POSIX
TEST_CASE("a disk that takes no more is reported, and what was written is removed") {
  // A limit on the size of files stands in for a full disk: the same write() fails, at the same
  // place.
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  const std::vector<std::byte> megabyte(std::size_t{1} << 20);
  writer.add_tensor("a", er::ggml_type::i8, {megabyte.size()}, megabyte);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit limited = before;
  limited.rlim_cur = 100000;
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limited) == 0);
  std::string sentence;
  try {
    writer.write(folder / "model.gguf");
  } catch (const er::io_error& error) {
    sentence = error.what();
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(sentence.find("can't write") != std::string::npos);
  CHECK(sentence.find("model.gguf") != std::string::npos);
  CHECK(folder.files() == 0);
  writer.write(folder / "model.gguf");
  CHECK(er::gguf_reader::open(folder / "model.gguf").tensors().size() == 1);
}
#endif

TEST_CASE("the partial file of a crash does not stand in the way") {
  const temporary_folder folder;
  write_bytes(folder / "model.gguf.partial-0", numbered(10));
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.write(folder / "model.gguf");
  CHECK(er::gguf_reader::open(folder / "model.gguf").get_string("general.architecture") == "test");
  CHECK(folder.files() == 2);
}

TEST_SUITE_END();
