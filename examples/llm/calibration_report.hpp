// SPDX-License-Identifier: Apache-2.0
/// What a calibration did, for a person: a table by layer, one picture, and the figures as JSON.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "calibration.hpp"

namespace llm {

/// One line a layer: the formats of its matrices, bits a weight, and the part of the outputs' mean
/// square that rounding changes; then embedding and head.
void print_calibration(const calibration& done);

/// Bits a weight and error of every matrix, by layer, as two plots above each other.
std::string calibration_picture(const calibration& done, const std::string& title);

nlohmann::json to_json(const calibration& done);

}  // namespace llm
