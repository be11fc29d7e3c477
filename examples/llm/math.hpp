/// The arithmetic of a decoder between its matrix products, on one token's numbers.
///
/// Plain loops a compiler vectorizes. Nothing here calls the C library's exp, whose last bit differs between systems.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace llm {

/// x_i = e^x_i, to 2 units in the last place for x_i in [-87, 88]; beyond, the value at the nearer end.
///
/// x = n ln 2 + r with |r| <= ln(2) / 2, e^x = 2^n e^r, and e^r by its Taylor polynomial of degree 7, whose remainder
/// is below (ln(2) / 2)^8 / 8! = 5.2e-9, a tenth of float's precision.
inline void exponentials(std::span<float> x) noexcept {
  constexpr float log2_e = 1.44269504f;
  constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;  // n * ln2_high is exact: 9 + 8 significant bits
  constexpr float rounding = 0x1.8p23f;                                // added and taken away, it rounds to an integer
  // A loop of its own: g++ 12 vectorizes neither where the clamp stands before the polynomial.
  for (float& v : x) v = std::min(88.0f, std::max(-87.0f, v));
  for (float& v : x) {
    const float n = (v * log2_e + rounding) - rounding;
    const float r = (v - n * ln2_high) - n * ln2_low;
    float sum = 1.0f / 5040;
    sum = sum * r + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    v = sum * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
  }
}

/// out_i = x_i * weight_i / sqrt(mean(x^2) + epsilon). `out` may be `x`.
inline void rms_norm(std::span<const float> x, std::span<const float> weight, float epsilon,
                     std::span<float> out) noexcept {
  double squares = 0;
  for (const float v : x) squares += static_cast<double>(v) * static_cast<double>(v);
  const float mean = static_cast<float>(squares / static_cast<double>(x.size()));
  const float factor = 1.0f / std::sqrt(mean + epsilon);
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] * factor * weight[i];
}

/// gate_i = gate_i / (1 + e^-gate_i) * up_i: SiLU of the gate, times up.
inline void swiglu(std::span<float> gate, std::span<const float> up) noexcept {
  std::array<float, 256> powers;
  for (std::size_t begin = 0; begin < gate.size(); begin += powers.size()) {
    const std::size_t count = std::min(powers.size(), gate.size() - begin);
    float* const g = gate.data() + begin;
    const float* const u = up.data() + begin;
    for (std::size_t i = 0; i < count; ++i) powers[i] = -g[i];
    exponentials(std::span{powers}.first(count));
    for (std::size_t i = 0; i < count; ++i) g[i] = g[i] / (1.0f + powers[i]) * u[i];
  }
}

/// Softmax of `factor * scores`, in place. Not empty.
inline void softmax(std::span<float> scores, float factor) noexcept {
  float largest = scores[0];
  for (const float s : scores) largest = s > largest ? s : largest;
  for (float& s : scores) s = factor * (s - largest);
  exponentials(scores);
  double sum = 0;
  for (const float s : scores) sum += static_cast<double>(s);
  const float inverse = static_cast<float>(1 / sum);
  for (float& s : scores) s *= inverse;
}

/// x . y, in eight interleaved sums.
inline float dot(const float* x, const float* y, std::size_t size) noexcept {
  float sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += x[i + lane] * y[i + lane];
  }
  for (; i < size; ++i) sums[i % 8] += x[i] * y[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

/// Which two elements of a head turn together: neighbours, (2i, 2i + 1), as GGUF's `llama` stores its rows; or halves,
/// (i, i + size / 2), as `qwen3` does.
enum class rope_pairs { neighbours, halves };

/// Rotary position embedding (arXiv 2104.09864): pair i of a head at position p turns by p * base^(-2i / size).
class rope {
 public:
  rope() = default;
  /// `size`: the leading elements of a head that turn, even. `divisors`: one for each pair, dividing its frequency
  /// (Llama 3.1's long contexts), or empty.
  rope(rope_pairs pairs, std::size_t size, double base, std::span<const float> divisors) : pairs_(pairs) {
    for (std::size_t i = 0; i < size / 2; ++i) {
      const double frequency = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(size));
      frequencies_.push_back(divisors.empty() ? frequency : frequency / static_cast<double>(divisors[i]));
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
