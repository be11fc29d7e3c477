// SPDX-License-Identifier: Apache-2.0
/// Processes that train one model together.
#pragma once

#include <cstddef>
#include <span>

namespace qad {

/// `size` processes, a power of two, of which each has a `rank` from 0. All of them call the same
/// functions with the same sizes in the same order. How two of them exchange memory is the
/// subclass's affair; from that sums, gathering and handing out are made here, in an order that
/// the ranks alone decide.
class process_group {
 public:
  virtual ~process_group() = default;
  [[nodiscard]] virtual std::size_t rank() const noexcept = 0;
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;

  /// Adds up what all have in `values`: neighbours first, then pairs of them, and so on,
  ///
  ///     ((v_0 + v_1) + (v_2 + v_3)) + ((v_4 + v_5) + (v_6 + v_7))
  ///
  /// so that everyone ends with the same bits. Takes 1 MiB, and log2(size) times sends `values`.
  void add_up(std::span<float> values);
  /// `all` is what everyone's `mine` is, by rank: size times as many.
  void gather(std::span<const double> mine, std::span<double> all);
  /// Everyone gets what rank 0 has.
  void broadcast(std::span<std::byte> bytes);

 protected:
  /// Sends `mine` to another process, which does the same at the same time, and receives `theirs`
  /// from it; either may be empty. Throws std::runtime_error where that fails.
  virtual void exchange(std::size_t partner, std::span<const std::byte> mine,
                        std::span<std::byte> theirs) = 0;
};

}  // namespace qad
