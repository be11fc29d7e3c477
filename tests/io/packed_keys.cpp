// SPDX-License-Identifier: Apache-2.0
// The keys of packed matrices: what add_packed() sets is what a copy leaves out.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include <edgerazor/io/packed_keys.hpp>
#include <edgerazor/io/packed_model.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/packed_keys");

TEST_CASE("every key that a packed matrix adds is known, and no other") {
  const temporary_folder folder;
  er::gguf_writer writer;
  writer.set_string("general.architecture", "test");
  const std::vector<std::byte> bytes(64);
  er::add_packed(writer, "w", "ternary2_g64", 4, 4, bytes);
  writer.write(folder / "packed.gguf");
  const er::gguf_reader reader = er::gguf_reader::open(folder / "packed.gguf");
  std::size_t known = 0;
  for (const er::metadata_entry& entry : reader.entries()) {
    CAPTURE(entry.key);
    const bool general = entry.key.starts_with("general.");
    CHECK(er::detail::io::packed_keys::contains(entry.key) == !general);
    known += general ? 0 : 1;
  }
  CHECK(known == 5);
  CHECK_FALSE(er::detail::io::packed_keys::contains("edgerazor.recipe"));
  CHECK_FALSE(er::detail::io::packed_keys::contains("edgerazor.layout_version.x"));
}

TEST_SUITE_END();
