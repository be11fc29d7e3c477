// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <set>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <edgerazor/io/safetensors_dtype.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/safetensors_dtype");

TEST_CASE("every type is found by its name alone, and they are in the order of their bits") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < er::safetensors_dtypes.size(); ++i) {
    const auto dtype = static_cast<er::safetensors_dtype>(i);
    names.insert(er::info_of(dtype).name);
    CHECK(er::find_safetensors_dtype(er::info_of(dtype).name) == dtype);
    if (i > 1) CHECK(er::info_of(dtype).bits >= er::safetensors_dtypes[i - 1].bits);
  }
  CHECK(names.size() == 22);
  CHECK(er::info_of(er::safetensors_dtype::u64).name == "U64");
  CHECK(er::info_of(er::safetensors_dtype::f8_e8m0).name == "F8_E8M0");
  CHECK(er::info_of(er::safetensors_dtype::bf16).bits == 16);
}

TEST_CASE("names are spelled exactly") {
  for (const char* const name : {"f32", "F128", "", " F32", "F32 ", "F8_E4M3FN"}) {
    CAPTURE(std::string{name});
    CHECK_FALSE(er::find_safetensors_dtype(name).has_value());
  }
}

TEST_SUITE_END();
