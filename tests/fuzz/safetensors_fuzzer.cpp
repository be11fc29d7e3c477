// SPDX-License-Identifier: Apache-2.0
// libFuzzer on everything a host does with a safetensors file it was given: parse, decode, read
// integers, describe a copy. A file is refused with io_error or understood; anything else is a
// finding.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fuzzing.hpp"
#include <edgerazor/io/safetensors.hpp>

namespace er = edgerazor;

namespace {

/// The first elements and the last are enough to leave the bounds.
template <class T, class Read>
void read_ends(const er::safetensors_tensor& tensor, const Read& read) {
  std::vector<T> values(std::min<std::size_t>(tensor.elements(), 4));
  for (const std::size_t first : {std::size_t{0}, tensor.elements() - values.size()})
    try_to([&] { read(first, std::span{values}); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string error;
  const std::span<const std::byte> bytes = std::as_bytes(std::span{data, size});
  const auto reader = er::safetensors_reader::try_parse(bytes, "input", error);
  require(reader.has_value() == error.empty());
  if (!reader) {
    require(er::printable(error, error.size()) == error);
    return 0;
  }
  std::size_t total = 0;
  er::safetensors_writer writer;
  for (const er::safetensors_tensor& tensor : reader->tensors()) {
    require(reader->find(tensor.name) == &tensor);
    total += tensor.bytes.size();
    try_to([&] { (void)(tensor.rows() + tensor.cols()); });
    read_ends<float>(tensor, [&](std::size_t first, std::span<float> out) {
      er::decode_floats(tensor, first, out);
    });
    read_ends<std::uint8_t>(tensor, [&](std::size_t first, std::span<std::uint8_t> out) {
      er::read_integers(tensor, first, out);
    });
    read_ends<std::uint32_t>(tensor, [&](std::size_t first, std::span<std::uint32_t> out) {
      er::read_integers(tensor, first, out);
    });
    writer.add(tensor);
  }
  require(total <= size);
  return 0;
}
