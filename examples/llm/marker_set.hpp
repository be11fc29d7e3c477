// SPDX-License-Identifier: Apache-2.0
/// Finds tokens that stand for themselves in a text, such as <|im_start|>.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace llm {

class marker_set {
 public:
  struct marker {
    std::string text;  ///< not empty
    std::int32_t token;
    bool takes_spaces_left, takes_spaces_right;  ///< white space beside it belongs to it
  };
  /// A marker in a text, or what lies between two: bytes [begin, end).
  struct stretch {
    std::size_t begin, end;
    std::int32_t marker;  ///< the token; -1 for what lies between
  };

  marker_set() = default;
  /// Of markers with the same text the first counts.
  explicit marker_set(std::vector<marker> markers);

  [[nodiscard]] bool empty() const noexcept { return markers_.empty(); }

  /// The stretches of `text`, none empty: the leftmost marker first, of those that begin there the
  /// longest, of those that `allowed`, which is asked with a marker's token and bytes.
  [[nodiscard]] std::vector<stretch> split(
      std::string_view text,
      const std::function<bool(std::int32_t, std::size_t, std::size_t)>& allowed) const;

 private:
  std::vector<marker> markers_;     ///< in order of their texts
  std::array<bool, 256> begins_{};  ///< by the first byte
};

}  // namespace llm
