// SPDX-License-Identifier: Apache-2.0
/// One matrix that all systems are tried on, and how what they make of it is judged.
///
/// Weights are heavy-tailed, rows of different size; `--model FILE` takes blk.0.ffn_up of a GGUF
/// file in their place. Inputs are correlated along columns and by factors that all share, and
/// every 64th column is hot. Made of counters: the same everywhere.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/calibrate.hpp>
#include <edgerazor/distill/spsa.hpp>
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/quant.hpp>

namespace systems {
namespace er = edgerazor;

/// A number of about a normal distribution.
[[nodiscard]] inline float normal(std::uint64_t stream, std::uint64_t i) {
  const er::spsa random{2026, er::spsa_direction::normals};
  return random.element(stream, 3 * i) + random.element(stream, 3 * i + 1) / 4 +
         random.element(stream, 3 * i + 2) / 16;
}

struct layer {
  std::size_t rows, cols;
  std::vector<float> weights;  ///< rows x cols

  /// Student's t of three degrees of freedom, and a size of the row.
  [[nodiscard]] static layer synthetic(std::size_t rows, std::size_t cols) {
    layer result{rows, cols, std::vector<float>(rows * cols)};
    for (std::size_t i = 0; i < result.weights.size(); ++i) {
      const float a = normal(0, 4 * i), b = normal(0, 4 * i + 1), c = normal(0, 4 * i + 2),
                  d = normal(0, 4 * i + 3);
      const float tail = std::sqrt((b * b + c * c + d * d) / 3) + 0.1f;
      result.weights[i] = 0.02f * a / tail * std::exp(0.4f * normal(1, i / cols));
    }
    return result;
  }
  /// The first rows and columns of blk.0.ffn_up, at most so many. Fails as gguf_reader does.
  [[nodiscard]] static layer of_model(const char* path, std::size_t most_rows,
                                      std::size_t most_cols) {
    const er::gguf_reader file = er::gguf_reader::open(path);
    const er::tensor_info& tensor = file.get("blk.0.ffn_up.weight");
    layer result{std::min<std::size_t>(tensor.rows(), most_rows),
                 std::min<std::size_t>(tensor.cols(), most_cols),
                 {}};
    std::vector<float> row(tensor.cols());
    for (std::size_t r = 0; r < result.rows; ++r) {
      file.read_rows(tensor, {r, r + 1}, {row.data(), 1, row.size()});
      result.weights.insert(result.weights.end(), row.data(), row.data() + result.cols);
    }
    return result;
  }
  /// What a program's arguments ask for. Ends the program, with a sentence and 2, where they are
  /// neither none nor `--model FILE`, or the file has no such matrix.
  [[nodiscard]] static layer of_arguments(int argc, char** argv, std::size_t most_rows,
                                          std::size_t most_cols) {
    if (argc == 1)
      return synthetic(std::min<std::size_t>(most_rows, 256),
                       std::min<std::size_t>(most_cols, 512));
    if (argc != 3 || std::string_view{argv[1]} != "--model") {
      std::fprintf(stderr, "expected no arguments, or --model FILE with a GGUF file\n");
      std::exit(2);
    }
    try {
      return of_model(argv[2], most_rows, most_cols);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      std::exit(2);
    }
  }
};

struct problem {
  static constexpr std::size_t all = static_cast<std::size_t>(-1);

  std::size_t rows, cols, tokens;
  std::vector<float> weights, x, held_out;
  er::second_moments moments, held_out_moments;
  er::column_statistics columns;

  problem(int argc, char** argv, std::size_t most_rows = all, std::size_t most_cols = all,
          std::size_t token_count = 2048)
      : problem(layer::of_arguments(argc, argv, most_rows, most_cols), token_count) {}
  problem(layer own, std::size_t token_count)
      : rows(own.rows),
        cols(own.cols),
        tokens(token_count),
        weights(std::move(own.weights)),
        x(inputs(2)),
        held_out(inputs(3)),
        moments(cols),
        held_out_moments(cols),
        columns(cols) {
    moments.add({x.data(), tokens, cols});
    columns.add({x.data(), tokens, cols});
    held_out_moments.add({held_out.data(), tokens, cols});
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }

 private:
  [[nodiscard]] std::vector<float> inputs(std::uint64_t stream) const {
    constexpr std::size_t factors = 8;
    std::vector<float> result(tokens * cols);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t c = 0; c < cols; ++c) {
        float value = normal(stream, t * cols + c);
        if (c > 0) value += 0.6f * result[t * cols + c - 1];
        for (std::size_t k = 0; k < factors; ++k)
          value += 0.4f * normal(stream + 100, t * factors + k) * normal(50, c * factors + k);
        result[t * cols + c] = value;
      }
      for (std::size_t c = 7; c < cols; c += 64) result[t * cols + c] *= 8;
    }
    return result;
  }
};

/// The grid that a format stores.
[[nodiscard]] inline er::level_grid grid_of(std::string_view format,
                                            er::group_zero zero = er::group_zero::real) {
  const er::format fmt = er::format::parse(format).value();
  const er::codec_info& codec = er::codec_of(fmt.code);
  if (fmt.zero != er::zero_kind::none)
    return {0, static_cast<int>(codec.largest_code()), zero, fmt.group, fmt.scale};
  return {codec.min_level, codec.max_level(), er::group_zero::none,
          fmt.group,       fmt.scale,         codec.level_step};
}

[[nodiscard]] inline er::any_matrix pack(std::string_view format,
                                         const er::rounded_matrix& chosen) {
  er::matrix_view<const float> zeros;
  if (!chosen.zeros.empty()) zeros = {chosen.zeros.data(), chosen.rows, chosen.groups()};
  return er::pack_levels(
      er::format::parse(format).value(),
      er::matrix_view<const std::int16_t>{chosen.levels.data(), chosen.rows, chosen.cols},
      er::matrix_view<const float>{chosen.scales.data(), chosen.rows, chosen.groups()}, zeros);
}

/// rows x cols values that the stored bytes give back.
[[nodiscard]] inline std::vector<float> values_of(const er::weight_ref& stored) {
  std::vector<float> result(stored.rows() * stored.cols());
  for (std::size_t r = 0; r < stored.rows(); ++r)
    er::look_up_row(stored, r, std::span{result}.subspan(r * stored.cols(), stored.cols()));
  return result;
}

/// tr((W - Q) H (W - Q)^T) / tr(W H W^T) on tokens that no method has seen. Of stored bytes: Q is
/// what the matrix gives back.
[[nodiscard]] inline double output_error(const problem& p, const er::any_matrix& stored) {
  const std::vector<float> q = values_of(stored), none(q.size());
  return er::output_error(p.view(), {q.data(), p.rows, p.cols}, p.held_out_moments) /
         er::output_error(p.view(), {none.data(), p.rows, p.cols}, p.held_out_moments);
}

/// |Q q(X) - W X|^2 / |W X|^2 on the same tokens, by the library's products: q is what the options'
/// policy makes of activations.
[[nodiscard]] inline double output_error(const problem& p, const er::any_matrix& stored,
                                         const er::prepare_options& options) {
  const er::matrix_view<const float> x{p.held_out.data(), p.tokens, p.cols};
  std::vector<float> exact(p.tokens * p.rows), y(exact.size());
  er::gemm(er::any_matrix::pack(er::matrix_format::parse("f32").value(), p.view()),
           er::unquantized{x}, {exact.data(), p.tokens, p.rows});
  std::vector<std::byte> room(er::input_bytes(stored, p.tokens, options.quantized));
  er::gemm(stored, er::prepare(stored, x, room, options), {y.data(), p.tokens, p.rows});
  double apart = 0, whole = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto w = static_cast<double>(exact[i]), e = static_cast<double>(y[i]) - w;
    apart += e * e;
    whole += w * w;
  }
  return apart / whole;
}

/// One row of a system's table; the error in it, as output_error() is asked for it.
template <class... Options>
double report(const problem& p, const char* method, const er::any_matrix& stored,
              const Options&... options) {
  const double error = output_error(p, stored, options...);
  std::printf("%-34s %6.3f bits  %8.4f %%  %s\n", method, stored.bits_per_weight(), 100 * error,
              stored.fmt().name().c_str());
  return error;
}

/// The end of a program: what its paper claims, and whether that came out.
[[nodiscard]] inline int verdict(const char* claim, bool came_out) {
  std::printf("%s: %s\n", claim, came_out ? "yes" : "no");
  return came_out && std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace systems
