// SPDX-License-Identifier: Apache-2.0
/// A table of text with aligned columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace llm {

/// Prints rows of equally many cells to standard output: the first column left-aligned, the others
/// right-aligned. Every row takes as many lines as its cell of most lines.
inline void print_table(const std::vector<std::vector<std::string>>& rows) {
  if (rows.empty()) return;
  const auto lines_of = [](const std::string& cell) {
    std::vector<std::string> lines{""};
    for (const char c : cell) {
      if (c == '\n') {
        lines.emplace_back();
      } else {
        lines.back() += c;
      }
    }
    return lines;
  };
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      for (const std::string& line : lines_of(row[i])) widths[i] = std::max(widths[i], line.size());
    }
  }
  for (const auto& row : rows) {
    std::size_t height = 0;
    for (const std::string& cell : row) height = std::max(height, lines_of(cell).size());
    for (std::size_t y = 0; y < height; ++y) {
      std::string text;
      for (std::size_t i = 0; i < row.size(); ++i) {
        const std::vector<std::string> lines = lines_of(row[i]);
        const std::string line = y < lines.size() ? lines[y] : "";
        const std::string space(widths[i] - line.size(), ' ');
        text.append(i == 0 ? line + space : "  " + space + line);
      }
      std::printf("%s\n", text.c_str());
    }
  }
}

/// `digits` behind the point.
inline std::string decimal(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// `digits` significant ones, for quantities that span powers of ten.
inline std::string significant(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, value >= 1e6 ? "%.*e" : "%#.*g",
                value >= 1e6 ? digits - 1 : digits, value);
  std::string result = text;
  if (result.ends_with('.')) result.pop_back();
  return result;
}

/// Megabytes (10^6) of a number of bytes.
inline std::string megabytes(std::size_t bytes) {
  return decimal(static_cast<double>(bytes) / 1e6, 1);
}

}  // namespace llm
