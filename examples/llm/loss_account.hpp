// SPDX-License-Identifier: Apache-2.0
/// What a conversion does to each tensor, noted while it is written.
#pragma once

#include <string>
#include <utility>

#include "convert.hpp"
#include "progress_bar.hpp"
#include "weight_source.hpp"

namespace llm {

class loss_account {
 public:
  loss_account(const checkpoint& file, const char* what) : progress_(what, file.tensor_bytes()) {
    done_.bytes_before = file.tensor_bytes();
  }

  /// It is copied, or its codes are.
  void copied(const stored_tensor& tensor) {
    ++done_.exact;
    progress_.advance(tensor.bytes);
  }
  /// It had the rows that `source` gives, and was written as `written`.
  void compare(const stored_tensor& tensor, const row_source& source, const er::any_matrix& written,
               thread_pool& threads) {
    const change changed = change_of(written, source, threads);
    if (changed.error == 0) return copied(tensor);
    done_.losses.push_back({tensor.name, tensor.type, written.fmt().name(), changed.relative()});
    progress_.advance(tensor.bytes);
  }

  [[nodiscard]] conversion finish(std::size_t bytes) {
    done_.bytes_after = bytes;
    return std::move(done_);
  }

 private:
  progress_bar progress_;
  conversion done_;
};

}  // namespace llm
