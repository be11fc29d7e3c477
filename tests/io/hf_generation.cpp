// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/io/hf_generation.hpp>

namespace er = edgerazor;
using nlohmann::json;

TEST_SUITE_BEGIN("io/hf_generation");

TEST_CASE("a file of transformers") {
  const std::filesystem::path folder = std::filesystem::path{EDGERAZOR_TEST_DATA} / "hf";
  const er::hf_generation read =
      er::read_hf_generation(folder / "qwen3_sharded" / "generation_config.json");
  CHECK(read.begin_tokens == std::vector<std::uint32_t>{1});
  CHECK(read.end_tokens == std::vector<std::uint32_t>{2, 3});
  CHECK(read.padding_token == 0u);
  CHECK(read.sample == true);
  CHECK(read.temperature == 0.6);
  CHECK(read.top_k == 20u);
  CHECK(read.top_p == 0.95);
  CHECK_FALSE(read.min_p.has_value());
  CHECK(er::read_hf_generation(folder / "none.json").end_tokens.empty());
}

TEST_CASE("one end, several stops, and numbers out of range") {
  const er::hf_generation read = er::read_hf_generation(
      json{{"eos_token_id", 7}, {"stop_strings", {"a", "b"}}, {"pad_token_id", -1}}, "g.json");
  CHECK(read.end_tokens == std::vector<std::uint32_t>{7});
  CHECK(read.stop_strings == std::vector<std::string>{"a", "b"});
  CHECK_FALSE(read.padding_token.has_value());
  CHECK_THROWS_WITH_AS((void)er::read_hf_generation(json{{"temperature", -1}}, "g.json"),
                       "g.json: 'temperature' is -1, expected a number from 0 to 1000",
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)er::read_hf_generation(json{{"eos_token_id", {1, 2.5}}}, "g.json"),
                       "g.json: 'eos_token_id' is 2.5, expected an integer from 0 to 2147483647",
                       er::io_error);
  CHECK_THROWS_WITH_AS((void)er::read_hf_generation(json{{"do_sample", "yes"}}, "g.json"),
                       "g.json: 'do_sample' is \"yes\", expected true or false", er::io_error);
}

TEST_SUITE_END();
