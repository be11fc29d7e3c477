// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <edgerazor/io/safetensors.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/safetensors");

TEST_CASE("the umbrella brings the reader") {
  CHECK(er::find_safetensors_dtype("BF16") == er::safetensors_dtype::bf16);
  std::string error;
  CHECK_FALSE(er::safetensors_reader::try_parse({}, "nothing", error).has_value());
  CHECK(error == "nothing: the file has 0 bytes, expected at least the 8 of its header's length");
}

TEST_SUITE_END();
