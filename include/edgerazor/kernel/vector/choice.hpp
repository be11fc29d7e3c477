// SPDX-License-Identifier: Apache-2.0
/// The tables of loops that this processor can run. Knows no vectors, so that a header may include
/// it that declares a table alone.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::vector {

/// Those of at most 8 `tables` whose supported() is true, in order; made once, as a static.
template <class Table>
class available_tables {
 public:
  explicit available_tables(std::span<const Table* const> tables) noexcept {
    for (const Table* table : tables) {
      if (table->supported()) tables_[count_++] = table;
    }
  }
  [[nodiscard]] std::span<const Table* const> all() const noexcept { return {tables_, count_}; }

 private:
  const Table* tables_[8] = {};
  std::size_t count_ = 0;
};

/// The one of that name; null where there is none.
template <class Table>
[[nodiscard]] const Table* find_table(std::span<const Table* const> tables,
                                      std::string_view name) noexcept {
  for (const Table* table : tables) {
    if (table->name == name) return table;
  }
  return nullptr;
}

}  // namespace detail::kernel::vector
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
