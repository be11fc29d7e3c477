// SPDX-License-Identifier: Apache-2.0
/// Where the bytes of a tensor go that is written to a file, piece by piece, so that a model need
/// not be in memory to be written.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/atomic_file.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

class tensor_sink;
/// Gives a tensor's bytes when it is its turn to be written.
using tensor_source = std::function<void(tensor_sink&)>;

namespace detail::io {
inline void write_tensor(atomic_file& file, std::string_view name, std::size_t size,
                         const tensor_source& source);
}

/// Takes the bytes of one tensor, in order, in pieces of any size.
class tensor_sink {
 public:
  /// Fails when more bytes come than the tensor has.
  void write(std::span<const std::byte> bytes) {
    if (bytes.size() > left_) {
      file_.discard();
      detail::core::fail("the source of tensor " + edgerazor::quoted(name_) +
                         " gives too many bytes");
    }
    left_ -= bytes.size();
    file_.write(bytes);
  }

 private:
  friend void detail::io::write_tensor(atomic_file& file, std::string_view name, std::size_t size,
                                       const tensor_source& source);
  tensor_sink(atomic_file& file, std::string_view name, std::size_t size)
      : file_(file), name_(name), left_(size) {}

  atomic_file& file_;
  std::string_view name_;
  std::size_t left_;
};

namespace detail::io {

/// The `size` bytes of a tensor, from its source. Fails, and discards the file, where the source
/// gives fewer or more.
inline void write_tensor(atomic_file& file, std::string_view name, std::size_t size,
                         const tensor_source& source) {
  tensor_sink sink(file, name, size);
  source(sink);
  if (sink.left_ == 0) return;
  file.discard();
  core::fail("the source of tensor " + edgerazor::quoted(name) + " gave " +
             std::to_string(sink.left_) + " bytes too few");
}

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
