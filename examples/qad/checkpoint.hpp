// SPDX-License-Identifier: Apache-2.0
/// A training run on the disk: enough to go on with, or to use what it has learned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llm/tokenizer.hpp"
#include "moment_type.hpp"
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace qad {

namespace er = edgerazor;

/// What a run is after some steps. Refers to memory that others own.
struct checkpoint_view {
  std::uint64_t step = 0;
  std::string_view options;  ///< what decides the course of the run
  const llm::vocabulary* words = nullptr;
  std::span<const float> weights;
  moment_type moments = moment_type::float32;
  /// Of the optimizer, a number of that type each; empty for a run that is finished.
  std::span<const std::byte> first_moments, second_moments;
};

struct checkpoint {
  std::uint64_t step = 0;
  std::string options;
  llm::vocabulary words;
  std::vector<float> weights;
  moment_type moments = moment_type::float32;
  std::vector<std::byte> first_moments, second_moments;

  [[nodiscard]] checkpoint_view view() const {
    return {step, options, &words, weights, moments, first_moments, second_moments};
  }
};

/// A checkpoint whose numbers stay in its mapped file.
class mapped_checkpoint {
 public:
  /// Throws edgerazor::io_error, one sentence, where the file is missing, is none of ours, is cut
  /// off, or a bit of it is not what was written.
  explicit mapped_checkpoint(const std::filesystem::path& path);

  /// Refers to this object and its file.
  [[nodiscard]] checkpoint_view view() const noexcept {
    return {step_, options_, &words_, weights_, moments_, first_moments_, second_moments_};
  }

 private:
  er::gguf_reader file_;
  std::uint64_t step_ = 0;
  std::string options_;
  llm::vocabulary words_;
  std::span<const float> weights_;
  moment_type moments_ = moment_type::float32;
  std::span<const std::byte> first_moments_, second_moments_;
};

/// Replaces the file in one step: a kill at any time leaves the old one or the new one. Throws
/// edgerazor::io_error where it can't be written.
void write_checkpoint(const std::filesystem::path& path, const checkpoint_view& state);

/// The same with its numbers in memory.
checkpoint read_checkpoint(const std::filesystem::path& path);

/// A hash of bytes, the same on every machine (FNV-1a over 64-bit words, the last one padded with
/// zeros). Tells accidents, not attacks.
std::uint64_t fingerprint(std::span<const std::byte> bytes,
                          std::uint64_t seed = 0xcbf29ce484222325u) noexcept;
inline std::uint64_t fingerprint(std::string_view text,
                                 std::uint64_t seed = 0xcbf29ce484222325u) noexcept {
  return fingerprint(std::as_bytes(std::span{text}), seed);
}
inline std::uint64_t fingerprint(std::span<const float> values,
                                 std::uint64_t seed = 0xcbf29ce484222325u) noexcept {
  return fingerprint(std::as_bytes(values), seed);
}

}  // namespace qad
