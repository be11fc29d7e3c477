// SPDX-License-Identifier: Apache-2.0
/// Figures as JSON, for the file that --json names.
#pragma once

#include <memory>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include <edgerazor/io/atomic_file.hpp>

namespace llm {

/// Text of a message to others: bytes that are not UTF-8, in a model's name for instance, become
/// U+FFFD.
inline std::string json_text(const nlohmann::json& value, int indent = -1) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Made before the work, so that a file that can't be written is known then; what stood there stays
/// until the report is written.
class report_file {
 public:
  /// Empty: none is written. Throws edgerazor::io_error where it can't be.
  explicit report_file(const std::string& path) {
    if (!path.empty()) file_ = std::make_unique<edgerazor::atomic_file>(path);
  }
  void write(const nlohmann::json& report) {
    if (file_ == nullptr) return;
    const std::string text = json_text(report, 2) + "\n";
    file_->write(std::as_bytes(std::span{text}));
    file_->commit();
  }

 private:
  std::unique_ptr<edgerazor::atomic_file> file_;
};

}  // namespace llm
