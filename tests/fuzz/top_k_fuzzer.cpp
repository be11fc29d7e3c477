// SPDX-License-Identifier: Apache-2.0
// libFuzzer on a file of a teacher's top k: refused with io_error, or every sequence of it is one
// that a writer takes.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "fuzzing.hpp"
#include <edgerazor/io/top_k_file.hpp>

namespace er = edgerazor;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Its own memory, at an address that fits, which the sanitizer guards at both ends.
  std::vector<std::byte> bytes(size);
  if (size != 0) std::memcpy(bytes.data(), data, size);
  std::string error;
  const auto file = er::top_k_file::try_parse(bytes, "input", error);
  require(file.has_value() == error.empty());
  require(er::printable(error, error.size()) == error);
  if (!file) return 0;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < file->sequences(); ++i) {
    tokens += file->tokens_of(i);
    try_to([&] {
      const er::top_k_sequence one = file->sequence(i);
      std::vector<float> logs(one.tokens.size() * file->k());
      one.decode(0, {logs.data(), one.tokens.size(), file->k()});
    });
  }
  require(tokens == file->tokens() && tokens <= size);
  return 0;
}
