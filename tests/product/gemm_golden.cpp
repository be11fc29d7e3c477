// SPDX-License-Identifier: Apache-2.0
/// Digests that one machine has written and every other must reproduce: products by every kernel,
/// codes of activations, packed bytes. Operands come from integers and exact divisions by powers of
/// two, so no compiler can make others of them. To write the file again, name it:
/// EDGERAZOR_WRITE_GOLDEN=<path> test_kernel --test-case="golden*"
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include "support/shapes.hpp"
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemm");

namespace {

/// Numerical Recipes' linear congruential generator, upper bits.
class integers {
 public:
  std::uint32_t below(std::uint32_t limit) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 33) % limit;
  }
  /// Multiples of 2^-20 in (-1, 1).
  std::vector<float> reals(std::size_t count) {
    std::vector<float> result(count);
    for (float& x : result)
      x = static_cast<float>(static_cast<std::int32_t>(below(1u << 21)) - (1 << 20)) * 0x1p-20f;
    return result;
  }

 private:
  std::uint64_t state_ = 1;
};

/// FNV-1a, 64 bits.
class digest {
 public:
  void add(const void* data, std::size_t count) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < count; ++i) value_ = (value_ ^ bytes[i]) * 0x100000001b3u;
  }
  template <class T>
  static std::string of(const std::vector<T>& values) {
    digest result;
    result.add(values.data(), values.size() * sizeof(T));
    return result.text();
  }
  [[nodiscard]] std::string text() const {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(value_));
    return digits;
  }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

/// The digests of the file, or those that are to become it.
class record {
 public:
  record() {
    if (const char* path = std::getenv("EDGERAZOR_WRITE_GOLDEN")) {
      path_ = path;
      std::ifstream old(path_);
      if (old) digests_ = nlohmann::json::parse(old);
    } else {
      digests_ = golden::load("products.json");
    }
  }
  ~record() {
    if (!path_.empty()) std::ofstream(path_) << digests_.dump(0) << '\n';
  }
  record(const record&) = delete;
  record& operator=(const record&) = delete;

  void check(const std::string& name, const std::string& value, std::string_view made_by) {
    ++checked_;
    if (!path_.empty() && made_by == "scalar") digests_[name] = value;
    if (digests_.value(name, "") == value || !path_.empty()) return;
    CAPTURE(name);
    CAPTURE(made_by);
    FAIL_CHECK("another digest than the file's");
  }
  [[nodiscard]] std::size_t checked() const { return checked_; }

 private:
  std::string path_;
  nlohmann::json digests_ = nlohmann::json::object();
  std::size_t checked_ = 0;
};

/// A matrix whose bytes no quantizer has seen: codes of every value, scales that are sums of two
/// powers of two.
std::vector<std::byte> draw_matrix(const er::tile_layout& layout, integers& random) {
  std::vector<std::byte> bytes(layout.bytes());
  for (std::size_t tile = 0; tile < layout.tiles(); ++tile) {
    std::byte* const at = bytes.data() + tile * layout.tile_bytes();
    for (std::size_t i = layout.scale_bytes(); i < layout.tile_bytes(); ++i) {
      at[i] = static_cast<std::byte>(random.below(256));
    }
    for (std::size_t i = 0; i < layout.groups() * er::tile_rows; ++i) {
      const float scale = 0x1p-6f + static_cast<float>(random.below(64)) * 0x1p-12f;
      er::detail::matrix::write_scale(at + i * er::scale_size(layout.fmt().scale),
                                      layout.fmt().scale, scale);
    }
  }
  return bytes;
}

std::string shape_text(std::size_t rows, std::size_t cols) {
  return std::to_string(rows) + 'x' + std::to_string(cols);
}

/// All products of one matrix.
void check_products(record& file, const er::tile_layout& layout, integers& random) {
  constexpr std::size_t tokens = 7;
  const std::size_t rows = layout.rows(), cols = layout.cols();
  const std::vector<std::byte> bytes = draw_matrix(layout, random);
  const std::vector<float> x = random.reals(tokens * cols);
  const er::matrix_view<const float> token_rows{x.data(), tokens, cols};
  const er::packed_view w(layout, bytes);
  const std::string name = layout.fmt().name() + '/' + shape_text(rows, cols);
  for (const er::kernel& k : er::available_kernels()) {
    er::packed_activations x8(cols, layout.group_cols(), tokens);
    er::quantize_activations(token_rows, x8,
                             {.scales = er::activation_scales::of_groups, .kernel = &k});
    digest activations;
    for (std::size_t t = 0; t < tokens; ++t) {
      activations.add(x8.codes(t), cols);
      activations.add(x8.scales(t), x8.groups() * sizeof(float));
      activations.add(x8.sums(t), x8.groups() * sizeof(std::int32_t));
    }
    file.check("activations/" + name, activations.text(), k.name);

    std::vector<float> one(rows), all(rows * tokens), from_floats(rows * tokens);
    er::gemv(w, x8.view(1), std::span{one}, {.kernel = &k});
    file.check("gemv/" + name, digest::of(one), k.name);
    er::gemm(w, x8.view(), er::matrix_view<float>{all.data(), tokens, rows}, {.kernel = &k});
    file.check("gemm/" + name, digest::of(all), k.name);
    er::gemm(w, er::unquantized{token_rows},
             er::matrix_view<float>{from_floats.data(), tokens, rows}, {.kernel = &k});
    file.check("gemm_float/" + name, digest::of(from_floats), k.name);
  }
}

/// Quantized and packed; no kernel takes part, so the file's digests stand for the build alone.
template <class Policy, class Codec = er::default_codec<Policy>>
void check_packed(record& file, std::size_t rows, std::size_t cols, integers& random) {
  const std::vector<float> weights = random.reals(rows * cols);
  const er::packed_matrix<Policy, Codec> w =
      er::pack<Policy, Codec>(er::matrix_view{weights.data(), rows, cols});
  digest bytes;
  bytes.add(w.view().bytes().data(), w.view().bytes().size());
  file.check("pack/" + w.view().layout().fmt().name() + '/' + shape_text(rows, cols), bytes.text(),
             "scalar");
}

}  // namespace

TEST_CASE("golden: products of every format by every kernel") {
  record file;
  integers random;
  std::size_t i = 0;
  for (const er::code_type code : shapes::recorded_codes) {
    for (const std::uint32_t group : {32u, 64u, 128u, 256u, 20u, 0u}) {
      for (const std::array<std::size_t, 2> shape :
           {std::array<std::size_t, 2>{17, 36}, {33, 576}, {16, 1000}}) {
        const er::format fmt{code, group, shapes::kinds[i++ % 3]};
        check_products(file, er::tile_layout(fmt, shape[0], shape[1]), random);
      }
    }
  }
  CHECK(file.checked() == 4 * 6 * 3 * 4 * er::available_kernels().size());
}

TEST_CASE("golden: packed weights") {
  record file;
  integers random;
  for (const std::array<std::size_t, 2> shape :
       {std::array<std::size_t, 2>{17, 36}, {33, 576}, {16, 1000}}) {
    const auto [rows, cols] = shape;
    check_packed<er::ternary<er::per_group<64>>>(file, rows, cols, random);
    check_packed<er::ternary<er::per_group<256>>, er::codecs::ternary5>(file, rows, cols, random);
    check_packed<er::ternary<er::per_group<128>, float>>(file, rows, cols, random);
    check_packed<er::int4<er::per_group<32>>>(file, rows, cols, random);
    check_packed<er::int4<er::per_group<256>, er::bfloat16>>(file, rows, cols, random);
    check_packed<er::int8<er::per_group<128>>>(file, rows, cols, random);
  }
  CHECK(file.checked() == 18);
}

TEST_SUITE_END();
