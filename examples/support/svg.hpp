// SPDX-License-Identifier: Apache-2.0
/// Elements of an SVG picture, as text.
#pragma once

#include <cstdio>
#include <string>

namespace support::svg {

/// Six significant digits.
inline std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

/// The text as it stands between tags.
inline std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '<') {
      result += "&lt;";
    } else if (c == '&') {
      result += "&amp;";
    } else {
      result += c;
    }
  }
  return result;
}

/// `anchor`: start, middle or end. `more`: attributes, a blank before each.
inline std::string text_at(double x, double y, const std::string& anchor, const std::string& text,
                           const std::string& more = "") {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\"" +
         more + ">" + escaped(text) + "</text>\n";
}

inline std::string line(double x1, double y1, double x2, double y2, const std::string& style) {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) +
         "\" y2=\"" + number(y2) + "\" " + style + "/>\n";
}

}  // namespace support::svg
