// SPDX-License-Identifier: Apache-2.0
#include "command_line.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <numeric>
#include <system_error>
#include <utility>

namespace support {

namespace {

constexpr std::size_t longest_message = 4000;

/// Insertions, removals and replacements that make one word of another.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

/// The nearest of the names, where one is near enough to have been meant.
std::string nearest(std::string_view word, const std::vector<std::string>& names) {
  std::string result;
  std::size_t least = std::max<std::size_t>(2, word.size() / 2) + 1;
  for (const std::string& name : names) {
    const std::size_t away = distance(word.substr(0, 100), name);
    if (away >= least) continue;
    least = away;
    result = "; did you mean '" + name + "'?";
  }
  return result;
}

void add_option_names(const CLI::App& command, std::vector<std::string>& names) {
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* group : command.get_subcommands({})) add_option_names(*group, names);
}

/// A sentence where the first word is none of the sub-commands, or an option none of its options;
/// empty where all are known.
std::string unknown_word(const CLI::App& program, const std::vector<std::string>& arguments) {
  const auto word = std::find_if(arguments.begin(), arguments.end(),
                                 [](const std::string& a) { return !a.starts_with('-'); });
  if (word == arguments.end()) return {};
  std::vector<std::string> names;
  const CLI::App* command = nullptr;
  for (const CLI::App* one : program.get_subcommands({})) {
    names.push_back(one->get_name());
    if (names.back() == *word) command = one;
  }
  if (command == nullptr) {
    const std::string meant = nearest(*word, names);
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    return "no sub-command is called " + edgerazor::quoted(*word) +
           (meant.empty() ? "; there are " : meant + " There are ") + all;
  }
  names.clear();
  add_option_names(*command, names);
  for (auto at = word + 1; at != arguments.end() && *at != "--"; ++at) {
    const std::string name = at->substr(0, at->find('='));
    if (!name.starts_with("--") || std::find(names.begin(), names.end(), name) != names.end())
      continue;
    return *word + " has no option " + edgerazor::quoted(name) + nearest(name, names);
  }
  return {};
}

}  // namespace

outcome run(CLI::App& program, std::vector<std::string> arguments) {
  if (const std::string sentence = unknown_word(program, arguments); !sentence.empty())
    return {2, sentence};
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    program.parse(std::move(arguments));
    return {};
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      program.exit(error, std::cout, std::cout);
      return {};
    }
    return {2, edgerazor::printable(error.what(), longest_message) + "; see --help"};
  } catch (const std::bad_alloc&) {
    return {1, "there is not enough memory"};
  } catch (const std::exception& error) {
    return {1, edgerazor::printable(error.what(), longest_message)};
  }
}

int finish(const char* program, const outcome& end) {
  std::string message = end.message;
  int code = end.code;
  errno = 0;
  std::cout.flush();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout) {
    const int reason = errno;
    if (code == 0) {
      code = 1;
      message = "can't write to standard output";
      if (reason != 0) message += ": " + std::generic_category().message(reason);
    }
  }
  if (!message.empty()) std::fprintf(stderr, "%s: %s\n", program, message.c_str());
  return code;
}

}  // namespace support
