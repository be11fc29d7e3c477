// SPDX-License-Identifier: Apache-2.0
/// What the command lines of our programs share: numbers that are taken whole or refused by name,
/// sub-commands by their nearest name, and an exit code that tells what became of the output.
#pragma once

#include <concepts>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "number.hpp"
#include <edgerazor/core/printable.hpp>

namespace support {

/// The option of that name for a number. Every number of a command line is added by this function:
/// text that is no number of the range is refused, naming option, range and text. The value at the
/// time of the call is the default that --help shows, where it is in the range.
template <class T>
CLI::Option* add_number(CLI::App& command, const std::string& name, T& value,
                        const number_range<T>& range, const std::string& help) {
  CLI::Option* const option = command.add_option_function<std::string>(
      name,
      [name, range, &value](const std::string& text) {
        if (read_number(text, range, value)) return;
        throw CLI::ValidationError(name, "expected " + range_text(range) + ", as a " +
                                             (std::floating_point<T> ? "finite" : "whole") +
                                             " number; got " + edgerazor::quoted(text));
      },
      help);
  option->type_name(std::floating_point<T> ? "X" : "N");
  if (range.contains(value)) option->default_str(number_text(value));
  return option;
}

/// How a program ended.
struct outcome {
  int code = 0;         ///< 0, 1: what was asked failed, 2: it was not understood
  std::string message;  ///< one printable line, empty where all went well
};

/// Parses and performs. Help and version are printed to standard output.
outcome run(CLI::App& program, std::vector<std::string> arguments);

/// Prints the message to standard error. What waits for standard output must get there, or the
/// program has failed. Returns the exit code.
int finish(const char* program, const outcome& end);

}  // namespace support
