// SPDX-License-Identifier: Apache-2.0
// A file appears whole or not at all, also through the writer that models are written with.
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/gguf_writer.hpp>

#if EDGERAZOR_POSIX
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#endif
#if EDGERAZOR_LINUX
#include <sys/sysmacros.h>
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
    CHECK(folder.files() <= 2);  // where the system can, what is being written has no name
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

TEST_CASE("what has been committed or given up takes nothing more, and says so") {
  const temporary_folder folder;
  const auto refused = [&](er::atomic_file& file) {
    constexpr const char* sentence = "it has been committed or given up already";
    CHECK_THROWS_WITH_AS(file.write(numbered(3)), doctest::Contains(sentence),
                         std::invalid_argument);
    CHECK_THROWS_WITH_AS(file.commit(), doctest::Contains(sentence), std::invalid_argument);
  };
  const std::vector<std::byte> bytes = numbered(1000);
  er::atomic_file written(folder / "a"), dropped(folder / "b");
  written.write(bytes);
  written.commit();
  refused(written);
  CHECK(read_bytes(folder / "a") == bytes);
  dropped.discard();
  refused(dropped);
  CHECK(folder.files() == 1);
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

TEST_CASE("the partial file of a crash does not stand in the way, and is taken over") {
  const temporary_folder folder;
  write_bytes(folder / "model.gguf.partial-0", numbered(10));  // of somebody else
  write_bytes(folder / ".edgerazor-0.partial", numbered(10));  // of a writer that is dead
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  writer.write(folder / "model.gguf");
  writer.write(folder / "model.gguf");
  CHECK(er::gguf_reader::open(folder / "model.gguf").get_string("general.architecture") == "test");
#if EDGERAZOR_POSIX
  CHECK(folder.files() == 2);
#endif
  CHECK(read_bytes(folder / "model.gguf.partial-0") == numbered(10));
}

TEST_CASE("a write is as long as it says, and writers of one name do not meet") {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  const std::size_t bytes = writer.write(folder / "model.gguf");
  CHECK(bytes == std::filesystem::file_size(folder / "model.gguf"));

  er::atomic_file first(folder / "a"), second(folder / "a");
  first.write(numbered(10));
  second.write(numbered(20));
  first.commit();
  CHECK(read_bytes(folder / "a") == numbered(10));
  second.commit();
  CHECK(read_bytes(folder / "a") == numbered(20));
  CHECK(folder.files() == 2);
}

TEST_CASE("what is no place for a file is refused before anything is written") {
  const temporary_folder folder;
  std::filesystem::create_directory(folder / "folder");
  write_bytes(folder / "file", numbered(3));
  for (const char* name : {"folder", "folder/", "missing/", "missing/a", "file/a", ""}) {
    CAPTURE(name);
    const std::filesystem::path path = *name ? folder / name : std::filesystem::path{};
    CHECK_THROWS_WITH_AS(er::atomic_file{path}, doctest::Contains("can't create"), er::io_error);
  }
  CHECK_THROWS_WITH_AS(er::atomic_file(folder / "a\x1b[2J" / "b"), doctest::Contains("a\\x1b[2J"),
                       er::io_error);
  CHECK(folder.files() == 2);
}

#if EDGERAZOR_POSIX
TEST_CASE("names near the system's limit: the longest is written, one more is refused at once") {
  const temporary_folder folder;
  const std::string longest(255, 'n');
  for (int round = 0; round < 2; ++round) {
    er::atomic_file file(folder.path / longest);
    file.write(numbered(5));
    file.commit();
  }
  CHECK(read_bytes(folder.path / longest) == numbered(5));
  CHECK_THROWS_WITH_AS(er::atomic_file(folder.path / (longest + "n")),
                       doctest::Contains("can't create"), er::io_error);
  CHECK(folder.files() == 1);
}

TEST_CASE("names with blanks, of any script, and of bytes that are none") {
  const temporary_folder folder;
  std::size_t files = 0;
  for (const char* name : {"with blanks .gguf", "\xe4\xbd\xa0\xe5\xa5\xbd", "Mod\xe8le", "-",
                           "--output", "line\nfeed", "*?[a]", ".hidden", "'quoted\"", "\x1b[2J"}) {
    CAPTURE(name);
    er::atomic_file file(folder / name);
    file.write(numbered(5));
    file.commit();
    CHECK(read_bytes(folder / name) == numbered(5));
    CHECK(folder.files() == ++files);
  }
}

TEST_CASE("a device stays one and is written; a pipe is refused") {
  const temporary_folder folder;
  // Nodes of the test's own, never those of /dev: a fault here would replace them for everybody.
  [[maybe_unused]] const auto make_device = [&](const char* name, unsigned minor) {
    return ::mknod((folder / name).c_str(), S_IFCHR | 0600, ::makedev(1, minor)) == 0 &&
           std::ofstream(folder / name).is_open();
  };
  if (EDGERAZOR_LINUX && make_device("null", 3) && make_device("full", 7)) {
    {
      er::atomic_file file(folder / "null");
      file.write(numbered(1000));
      file.commit();
      CHECK(file.size() == 1000);
    }
    CHECK(std::filesystem::is_character_file(folder / "null"));
    {
      er::atomic_file file(folder / "full");
      CHECK_THROWS_WITH_AS((file.write(numbered(100'000)), file.commit()),
                           doctest::Contains("can't write"), er::io_error);
    }
    CHECK(std::filesystem::is_character_file(folder / "full"));
    CHECK(folder.files() == 2);
  } else {
    MESSAGE("no permission to make a device: not tested");
  }
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(er::atomic_file(folder / "pipe"), doctest::Contains("it is a pipe"),
                       er::io_error);
  CHECK(std::filesystem::is_fifo(folder / "pipe"));
}

TEST_CASE("where a file system has no hard links, what was written is copied under its name") {
  const temporary_folder folder;
  for (const ::mode_t mode : {0644u, 0600u}) {
    for (int round = 0; round < 2; ++round) {  // new, then replaced
      er::atomic_file file(folder / "a", er::detail::io::partial_file::unlinkable);
      file.write(numbered(100'001));
      file.commit();
      CHECK(read_bytes(folder / "a") == numbered(100'001));
      CHECK(folder.files() == 1);
      struct stat there{};
      REQUIRE(::stat((folder / "a").c_str(), &there) == 0);
      if (round == 1) CHECK((there.st_mode & 07777u) == mode);
      REQUIRE(::chmod((folder / "a").c_str(), mode) == 0);
    }
    er::atomic_file given_up(folder / "b", er::detail::io::partial_file::unlinkable);
    given_up.write(numbered(10));
    std::filesystem::remove(folder / "a");
  }
  CHECK(folder.files() == 0);
}

TEST_CASE("a symbolic link stays one, and its target is written, there or not") {
  const temporary_folder folder;
  std::filesystem::create_directory(folder / "real");
  write_bytes(folder / "real/target", numbered(3));
  std::filesystem::create_symlink("real/target", folder / "link");
  std::filesystem::create_symlink("link", folder / "link_to_link");
  std::filesystem::create_symlink("real/new", folder / "dangling");
  std::filesystem::create_symlink("loop", folder / "loop");
  for (const char* name : {"link", "link_to_link", "dangling"}) {
    CAPTURE(name);
    er::atomic_file file(folder / name);
    file.write(numbered(20));
    file.commit();
    CHECK(std::filesystem::is_symlink(folder / name));
    CHECK(read_bytes(folder / name) == numbered(20));
  }
  CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(folder / "real/target")));
  CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(folder / "real/new")));
  CHECK_THROWS_AS(er::atomic_file(folder / "loop"), er::io_error);
}

TEST_CASE("a file keeps its mode, and a new one has the process's") {
  const temporary_folder folder;
  const ::mode_t before = ::umask(027);
  for (const ::mode_t mode : {0600u, 0644u, 0755u, 0666u}) {
    write_bytes(folder / "a", numbered(3));
    REQUIRE(::chmod((folder / "a").c_str(), mode) == 0);
    er::atomic_file file(folder / "a");
    file.write(numbered(20));
    file.commit();
    struct stat there{};
    REQUIRE(::stat((folder / "a").c_str(), &there) == 0);
    CHECK((there.st_mode & 07777u) == mode);
    CHECK(read_bytes(folder / "a") == numbered(20));
  }
  er::atomic_file file(folder / "b");
  file.commit();
  struct stat there{};
  REQUIRE(::stat((folder / "b").c_str(), &there) == 0);
  CHECK((there.st_mode & 07777u) == 0640);
  ::umask(before);
}

TEST_CASE("a file without a name, given by its descriptor, is written where it is") {
  const temporary_folder folder;
  const int descriptor = ::open((folder / "a").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(descriptor >= 0);
  std::filesystem::remove(folder / "a");
  const std::filesystem::path path = "/dev/fd/" + std::to_string(descriptor);
  {
    er::atomic_file file(path);
    file.write(numbered(20));
    file.commit();
  }
  CHECK(std::filesystem::file_size(path) == 20);
  CHECK(folder.files() == 0);
  ::close(descriptor);
}

TEST_CASE("a writer that is killed leaves nothing that stays, whether its file had a name or not") {
  const temporary_folder folder;
  for (const bool named : {false, true}) {
    CAPTURE(named);
    for (int kills = 0; kills < 3; ++kills) {
      int ready[2];
      REQUIRE(::pipe(ready) == 0);
      const ::pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        er::atomic_file file(folder / "a", named ? er::detail::io::partial_file::named
                                                 : er::detail::io::partial_file::any);
        file.write(numbered(100'000));
        const char done = 1;
        if (::write(ready[1], &done, 1) == 1) ::pause();
        ::_exit(0);
      }
      char done = 0;
      REQUIRE(::read(ready[0], &done, 1) == 1);
      // While it lives its file is its own.
      er::atomic_file mine(folder / "b", er::detail::io::partial_file::named);
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      ::close(ready[0]);
      ::close(ready[1]);
    }
    er::atomic_file last(folder / "a", er::detail::io::partial_file::named);
    last.write(numbered(7));
    last.commit();
    CHECK(read_bytes(folder / "a") == numbered(7));
    CHECK(folder.files() == 1);
    std::filesystem::remove(folder / "a");
  }
}
#endif

TEST_SUITE_END();
