// SPDX-License-Identifier: Apache-2.0
/// Golden data: JSON files of tests/data, read with nlohmann-json. Tests only.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace golden {

/// The content of tests/data/<name>.
inline nlohmann::json load(const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(EDGERAZOR_TEST_DATA) / name;
  std::ifstream file(path);
  REQUIRE_MESSAGE(file.good(), path.string());
  return nlohmann::json::parse(file);
}

/// An array of numbers as float32. Nine significant digits in double, rounded once more to float,
/// round-trip.
inline std::vector<float> floats(const nlohmann::json& array) {
  return array.get<std::vector<float>>();
}

}  // namespace golden
