// SPDX-License-Identifier: Apache-2.0
/// How the optimizer keeps its running means of gradients and of their squares.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include <edgerazor/io/ggml_type.hpp>

namespace qad {

namespace er = edgerazor;

enum class moment_type { float32, bfloat16 };

struct moment_form {
  moment_type type;
  std::string_view name;
  er::ggml_type tensor;  ///< that a checkpoint has of them
  std::size_t bytes;     ///< of a number
};
inline constexpr std::array<moment_form, 2> moment_forms{
    {{moment_type::float32, "float", er::ggml_type::f32, 4},
     {moment_type::bfloat16, "bfloat16", er::ggml_type::bf16, 2}}};

[[nodiscard]] constexpr const moment_form& form_of(moment_type type) noexcept {
  return moment_forms[static_cast<std::size_t>(type)];
}
[[nodiscard]] constexpr std::optional<moment_type> find_moment_type(
    std::string_view name) noexcept {
  for (const moment_form& form : moment_forms) {
    if (form.name == name) return form.type;
  }
  return std::nullopt;
}

}  // namespace qad
