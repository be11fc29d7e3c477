// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <stdexcept>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/tensor_sink.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/tensor_sink");

TEST_CASE("a source gives exactly its tensor's bytes, in any pieces") {
  const temporary_folder folder;
  const std::array<std::byte, 3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  er::atomic_file file(folder / "a");
  er::detail::io::write_tensor(file, "w", 3, [&](er::tensor_sink& sink) {
    sink.write(std::span{bytes}.first(2));
    sink.write({});
    sink.write(std::span{bytes}.subspan(2));
  });
  file.commit();
  CHECK(read_bytes(folder / "a") == std::vector<std::byte>(bytes.begin(), bytes.end()));
}

TEST_CASE("too few and too many bytes leave nothing") {
  const temporary_folder folder;
  const std::array<std::byte, 3> bytes{};
  const auto give_three = [&](er::tensor_sink& sink) { sink.write(bytes); };
  for (const std::size_t size : {2, 4}) {
    er::atomic_file file(folder / "a");
    CHECK_THROWS_WITH_AS(er::detail::io::write_tensor(file, "w", size, give_three),
                         size == 2 ? "the source of tensor 'w' gives too many bytes"
                                   : "the source of tensor 'w' gave 1 bytes too few",
                         std::invalid_argument);
    CHECK(folder.files() == 0);
  }
}

TEST_SUITE_END();
