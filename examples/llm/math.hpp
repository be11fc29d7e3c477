// SPDX-License-Identifier: Apache-2.0
/// The arithmetic of a decoder between its matrix products, on one token's numbers.
///
/// Plain loops a compiler vectorizes; softmax, SiLU and their exponential are the library's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace llm {

/// out_i = x_i * weight_i / sqrt(mean(x^2) + epsilon). `out` may be `x`. The mean is taken in
/// double, in eight interleaved sums: one would wait for itself at every step.
inline void rms_norm(std::span<const float> x, std::span<const float> weight, float epsilon,
                     std::span<float> out) noexcept {
  const auto square = [&](std::size_t i) {
    return static_cast<double>(x[i]) * static_cast<double>(x[i]);
  };
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= x.size(); i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += square(i + lane);
  }
  for (; i < x.size(); ++i) sums[i % 8] += square(i);
  const double squares =
      ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  const float mean = static_cast<float>(squares / static_cast<double>(x.size()));
  const float factor = 1.0f / std::sqrt(mean + epsilon);
  for (i = 0; i < x.size(); ++i) out[i] = x[i] * factor * weight[i];
}

/// Which two elements of a head turn together: neighbours, (2i, 2i + 1), as GGUF's `llama` stores
/// its rows; or halves, (i, i + size / 2), as `qwen2` and `qwen3` do.
enum class rope_pairs { neighbours, halves };

/// Rotary position embedding (arXiv 2104.09864): pair i of a head at position p turns by p *
/// base^(-2i / size).
class rope {
 public:
  rope() = default;
  /// `size`: the leading elements of a head that turn, even. `divisors`: one for each pair,
  /// dividing its frequency (Llama 3.1's long contexts), or empty. `factor`: positions are divided
  /// by it.
  rope(rope_pairs pairs, std::size_t size, double base, std::span<const float> divisors,
       double factor = 1)
      : pairs_(pairs) {
    for (std::size_t i = 0; i < size / 2; ++i) {
      const double frequency =
          std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(size)) / factor;
      frequencies_.push_back(divisors.empty() ? frequency
                                              : frequency / static_cast<double>(divisors[i]));
    }
  }

  /// Elements of one position's table: cosines, then sines.
  [[nodiscard]] std::size_t table_size() const noexcept { return 2 * frequencies_.size(); }

  void fill_table(std::size_t position, std::span<float> table) const noexcept {
    for (std::size_t i = 0; i < frequencies_.size(); ++i) {
      const double angle = static_cast<double>(position) * frequencies_[i];
      table[i] = static_cast<float>(std::cos(angle));
      table[frequencies_.size() + i] = static_cast<float>(std::sin(angle));
    }
  }

  /// Turns one head in place.
  void turn(std::span<float> head, std::span<const float> table) const noexcept {
    const std::size_t count = frequencies_.size();
    const bool halves = pairs_ == rope_pairs::halves;
    for (std::size_t i = 0; i < count; ++i) {
      float& a = head[halves ? i : 2 * i];
      float& b = head[halves ? i + count : 2 * i + 1];
      const float x = a, y = b, cosine = table[i], sine = table[count + i];
      a = x * cosine - y * sine;
      b = x * sine + y * cosine;
    }
  }

 private:
  rope_pairs pairs_ = rope_pairs::neighbours;
  std::vector<double> frequencies_;
};

}  // namespace llm
