// SPDX-License-Identifier: Apache-2.0
/// Layers of packed checkpoints for tests: golden files, tensors that can be broken, and what holds
/// of every packed_linear. Tests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/safetensors_reader.hpp>

namespace packed_layers {

namespace er = edgerazor;

/// A tensor with bytes of its own.
class tensor {
 public:
  tensor() = default;
  tensor(const er::safetensors_tensor& other)
      : name(other.name),
        dtype(other.dtype),
        shape(other.shape),
        bytes(other.bytes.begin(), other.bytes.end()) {}
  tensor(std::string text, er::safetensors_dtype type, std::vector<std::uint64_t> extents)
      : name(std::move(text)), dtype(type), shape(std::move(extents)) {
    std::size_t elements = 1;
    for (const std::uint64_t n : shape) elements *= n;
    bytes.resize(elements * er::info_of(dtype).bits / 8);
  }
  template <class T>
  tensor(std::string text, er::safetensors_dtype type, std::vector<std::uint64_t> extents,
         const std::vector<T>& values)
      : tensor(std::move(text), type, std::move(extents)) {
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  }

  operator er::safetensors_tensor() const { return {name, dtype, shape, bytes}; }

  template <class T>
  void put(std::size_t element, T value) {
    std::memcpy(bytes.data() + element * sizeof value, &value, sizeof value);
  }
  /// Random bytes; numbers of floats are of ordinary size.
  void fill(std::mt19937& random);

  std::string name;
  er::safetensors_dtype dtype = er::safetensors_dtype::u8;
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;
};

/// tests/data/checkpoints/<name>.safetensors.
er::safetensors_reader open(const std::string& name);

/// Rows x cols floats of decode_rows().
std::vector<float> decoded(const er::packed_linear& linear);
/// Rows x cols floats of a matrix, looked up row by row.
std::vector<float> values_of(const er::any_matrix& matrix);

/// Decoded in any ranges of rows, it gives `expected` (equal, so that -0 is 0); where it is exact,
/// so does the imported matrix, whose format is `format`, and every kernel multiplies it to the
/// bits of the reference implementation, which are the product of `expected` up to what sums of
/// floats lose. `format` is empty where nothing is exact.
void check(const er::packed_linear& linear, const std::vector<float>& expected,
           const std::string& format);
/// The same, of the golden floats.
void check(const er::packed_linear& linear, const er::safetensors_tensor& expected,
           const std::string& format);

/// Makes a layer of random bytes many times: each either is refused with io_error, or decodes, and
/// where it is exact imports to what it decodes to. Some of each kind must occur.
void check_random(const std::function<er::packed_linear(std::mt19937& random)>& make,
                  std::size_t rounds = 200);

}  // namespace packed_layers
