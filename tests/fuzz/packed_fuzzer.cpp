// SPDX-License-Identifier: Apache-2.0
// libFuzzer on the bytes of packed matrices: a matrix that packing made is changed, byte by byte
// and in what is said of its shape, then loaded as one of a file. It is refused in a sentence, or
// its use stays within its memory and is the same on every kernel; and what was not trusted gives
// numbers.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

namespace {

constexpr std::array formats{
    "ternary2_g4",
    "ternary2_g64",
    "ternary5_g8",
    "ternary5_row",
    "ternary3_g8",
    "ternary3_row",
    "int3_g12",
    "int4_g4",
    "int4_g64_bf16",
    "int5_row",
    "int6_g16_f32",
    "int8_g8",
    "binary_g4",
    "binary_row_f32",
    "table2_g4",
    "table2_row_f32",
    "int4_g16+table2_g16:every_8_rows",
    "int4_g4+ternary2_g4:every_8_rows",
    "int4_g8+ternary5_g8:rows_2_of_3",
    "int8_row+binary_row",
    "ternary2_g16+ternary5_g16",
    "sparse",
    "int4_g4+sparse",
    "permuted(mixed(int4_g4+ternary2_g4:every_8_rows)+scaled(sparse))",
    "scaled(f16)",
    "int2_g8",
    "int4z_g4",
    "int3m_g16_bf16",
    "int8z_row_f32",
    "int6m_g8+int2z_g8:every_8_rows",
    "int5z_g16+int4m_g16",
    "int3z_g16_q3",
    "int4_g4+low_rank_3(int4_g4+sparse*ternary2_g8)",
    "rotated_1(int4_g4)+sparse",
};

void require(bool condition) {
  if (!condition) std::abort();
}

/// What is left of the input, byte by byte; zeros behind its end.
class input {
 public:
  input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::size_t next(std::size_t below) {
    if (size_ == 0) return 0;
    --size_;
    return *data_++ % below;
  }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

/// A sum of the format: the table and the stages, then parts as packing makes them.
std::vector<std::byte> joined(const er::matrix_format& fmt, const std::vector<float>& w,
                              std::size_t rows, std::size_t cols) {
  std::vector<float> h(cols);
  std::vector<std::uint32_t> p(cols);
  for (std::size_t c = 0; c < cols; ++c)
    h[c] = static_cast<float>(c % 5) - 2, p[c] = static_cast<std::uint32_t>(cols - 1 - c);
  std::vector<er::any_matrix> packed;
  packed.reserve(fmt.parts.size());
  std::vector<er::sparse_matrix> sparse;
  sparse.reserve(fmt.parts.size());
  std::vector<er::any_matrix> factors;
  factors.reserve(fmt.stages.size());
  // The sum of the parts that take an input, with the stages that are made of it.
  const auto sum_of = [&](const auto& self, std::size_t input) -> er::matrix_sum {
    std::optional<er::matrix_sum> sum;
    const auto append = [&](const er::matrix_sum& more) {
      if (sum) return sum->append(more);
      sum = more;
    };
    for (const er::matrix_format::part& part : fmt.parts) {
      if (part.input != input) continue;
      const er::matrix_view<const float> own{w.data(), rows, fmt.cols_of(input, cols)};
      if (part.fmt.type == er::matrix_format::kind::sparse) {
        sparse.push_back(er::sparse_matrix::above(own, 0.7f));
        append(er::sum_of{sparse.back()});
        continue;
      }
      packed.push_back(er::any_matrix::pack(part.fmt, own));
      append(er::sum_of{packed.back()});
    }
    for (std::size_t i = 0; i < fmt.stages.size(); ++i) {
      if (fmt.stages[i].from != input) continue;
      const er::matrix_sum inner = self(self, i + 1);
      if (fmt.stages[i].kind == er::input_stage::projected) {
        factors.push_back(er::any_matrix::pack(
            fmt.stages[i].matrix,
            er::matrix_view<const float>{w.data(), fmt.stages[i].size, fmt.cols_of(input, cols)}));
        append(er::low_rank{inner, factors.back()});
        continue;
      }
      if (fmt.stages[i].kind == er::input_stage::rotated) {
        append(er::rotated{er::hadamard{fmt.stages[i].size}, inner});
      } else if (fmt.stages[i].kind == er::input_stage::scaled) {
        append(er::scaled_columns{h, inner});
      } else {
        append(er::permuted_columns{p, inner});
      }
    }
    return *sum;
  };
  const er::any_matrix one = er::any_matrix::joined(sum_of(sum_of, 0));
  return {one.bytes().begin(), one.bytes().end()};
}

/// A matrix of the format; one that carries a mask of its own changes precision in its columns.
std::vector<std::byte> packed(const er::matrix_format& fmt, std::size_t rows, std::size_t cols) {
  // And a factor of a low-rank part, whose rank is in no proportion to the shape.
  std::vector<float> w(rows * cols + 16 * (rows + cols));
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
  const auto copy = [](std::span<const std::byte> bytes) {
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  if (fmt.type == er::matrix_format::kind::sum) return joined(fmt, w, rows, cols);
  if (fmt.first.two_level) return copy(er::any_matrix::empty(fmt, rows, cols).bytes());
  if (fmt.type != er::matrix_format::kind::mixed || fmt.map.n != 0)
    return copy(er::any_matrix::pack(fmt, er::matrix_view{w.data(), rows, cols}).bytes());
  const std::size_t groups = er::tile_layout(fmt.first, rows, cols).groups();
  std::vector<std::uint8_t> mask(rows * groups);
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = (i / groups + i % groups / 2) % 3 == 0;
  return copy(er::mixed_matrix(fmt.first, fmt.second, rows, cols, mask).bytes());
}

bool same(float a, float b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

/// The same bytes in memory that ends where they end, so that a sanitizer sees a read behind them.
struct exact {
  std::unique_ptr<std::byte[]> memory;
  std::size_t size;
  explicit exact(const std::vector<std::byte>& from)
      : memory(new std::byte[from.size()]), size(from.size()) {
    std::memcpy(memory.get(), from.data(), size);
  }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {memory.get(), size}; }
};

std::vector<float> product(const er::any_matrix& w, const er::product_input& x,
                           const er::kernel* kernel) {
  std::vector<float> y(w.rows());
  er::gemv(w, x, y, {.kernel = kernel});
  return y;
}

void use(const er::any_matrix& w, bool numbers) {
  std::vector<float> x(w.cols());
  for (std::size_t c = 0; c < x.size(); ++c) x[c] = static_cast<float>(c % 7) - 3;
  if (w.sum()) {
    const er::kernel* const scalar = er::find_kernel("scalar");
    std::vector<float> y(w.rows()), z(w.rows());
    er::gemv(w, std::span<const float>{x}, y, {.kernel = scalar});
    for (const er::kernel& k : er::available_kernels()) {
      er::gemv(w, std::span<const float>{x}, z, {.kernel = &k});
      for (std::size_t r = 0; r < w.rows(); ++r) require(same(y[r], z[r]));
    }
    std::vector<float> row(w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r) er::look_up_row(w, r, row);
    return;
  }
  er::packed_activations memory(w.cols(), w.group_cols());
  const er::activation_view x8 = er::quantize_activations(std::span<const float>{x}, memory);
  const er::unquantized reals{std::span<const float>{x}};
  const er::kernel* const scalar = er::find_kernel("scalar");
  const std::vector<float> y = product(w, x8, scalar), z = product(w, reals, scalar);
  for (const er::kernel& k : er::available_kernels()) {
    const std::vector<float> y2 = product(w, x8, &k), z2 = product(w, reals, &k);
    for (std::size_t r = 0; r < w.rows(); ++r) require(same(y[r], y2[r]) && same(z[r], z2[r]));
  }
  std::vector<float> row(w.cols()), all(w.rows() * w.cols());
  const er::matrix_view<float> values{all.data(), w.rows(), w.cols()};
  if (w.packed()) er::dequantize(*w.packed(), values);
  if (w.mixed()) er::dequantize(*w.mixed(), values);
  er::detail::io::level_rows levels(w);
  for (std::size_t r = 0; r < w.rows(); ++r) {
    er::look_up_row(w, r, row);
    levels.read(r);
    for (std::size_t c = 0; c < w.cols(); ++c) require(same(row[c], values.row(r)[c]));
    // A finite scale times a level is a number, or infinite.
    if (numbers)
      for (const float value : row) require(!std::isnan(value));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  input in(data, size);
  const char* const name = formats[in.next(formats.size())];
  std::size_t rows = 1 + in.next(40), cols = 1 + in.next(90);
  std::vector<std::byte> bytes = packed(*er::matrix_format::parse(name), rows, cols);
  // What the file says of it: now and then another shape or format, a byte more or less.
  const std::size_t lie = in.next(16);
  if (lie == 1) rows = in.next(3) == 0 ? SIZE_MAX / (1 + in.next(64)) : in.next(64);
  if (lie == 2) cols = in.next(3) == 0 ? SIZE_MAX / (1 + in.next(64)) : in.next(120);
  const std::string said = lie == 3 ? formats[in.next(formats.size())] : name;
  if (lie == 4)
    bytes.resize(in.next(2) == 0 ? bytes.size() - 1 - in.next(bytes.size())
                                 : bytes.size() + 1 + in.next(200));
  while (!in.empty() && !bytes.empty()) {
    // Near the beginning lie a mixed matrix's header and the first scales.
    const std::size_t at = in.next(2) == 0 ? in.next(256) : in.next(256) * 256 + in.next(256);
    bytes[at % bytes.size()] = static_cast<std::byte>(in.next(256));
  }
  const exact memory(bytes);
  const er::packed_tensor tensor{"w", said, rows, cols, memory.bytes()};
  for (const bool trusted : {false, true}) {
    std::optional<er::any_matrix> matrix;
    try {
      matrix = er::load_matrix(tensor, {.trusted = trusted});
    } catch (const er::io_error& error) {
      require(std::strlen(error.what()) > 10);
    } catch (const std::invalid_argument&) {
      // A shape that no layout has; a file's is compared with its size first.
      require(rows == 0 || cols == 0 || rows > 1000 || cols > 1000);
    }
    if (!matrix) continue;
    use(*matrix, !trusted);
  }
  return 0;
}
