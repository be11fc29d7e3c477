// SPDX-License-Identifier: Apache-2.0
/// What a benchmark prints: one row a measurement, at most 120 columns, the same columns for every
/// program.
///
///     time       of a call, the median of the passes
///     GB/s       10^9 bytes a second of what is read: packed codes and scales, float32 input,
///                cached keys and values
///     rate       weights (times tokens), positions or cycles a second
///     of limit   the larger of two shares, measured in the same passes: of what a plain loop reads
///                of the same memory (read), of what the widest dot-product instruction multiplies in
///                registers (peak)
///     spread     half the distance between the quartiles of the passes, over their median
///
/// Figures of a row are in brackets where others used more than a twentieth of the machine's
/// processors meanwhile: too slow for the machine, how much is not known.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace bench {

class console : public benchmark::BenchmarkReporter {
 public:
  /// `longest_name`: of those that will be reported.
  explicit console(std::size_t longest_name);

  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;
  void Finalize() override;

 private:
  std::size_t name_width_;
  std::size_t rows_ = 0, busy_rows_ = 0;
};

/// 1234.5 as "1.23 k", 6.1e7 as "61.0 M": three digits.
[[nodiscard]] std::string with_prefix(double value);

}  // namespace bench
