// SPDX-License-Identifier: Apache-2.0
// Prints a digest of what every floor makes of ordinary numbers, a line each. The flags of the
// build must change none: flags.cmake compares the output of two builds. Inputs are made of
// integers, in arithmetic that no flag changes.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <edgerazor/io.hpp>
#include <edgerazor/quant.hpp>

// Losses do not compile with such flags, and promise nothing where clang does not tell of them.
#if !EDGERAZOR_FAST_MATH && !defined(EDGERAZOR_TEST_WITHOUT_LOSSES)
#define EDGERAZOR_TEST_LOSSES 1
#else
#define EDGERAZOR_TEST_LOSSES 0
#endif
#if EDGERAZOR_TEST_LOSSES
#include <edgerazor/distill.hpp>
#endif

namespace er = edgerazor;

namespace {

/// FNV-1a, 64 bits.
class digest {
 public:
  template <class T>
  void add(std::span<T> values) {
    for (const std::byte b : std::as_bytes(values))
      state_ = (state_ ^ static_cast<std::uint64_t>(b)) * 1099511628211u;
  }
  template <class T>
  void add(const T& value) {
    add(std::span<const T>{&value, 1});
  }
  void print(const std::string& name) const {
    std::printf("%s %016llx\n", name.c_str(), static_cast<unsigned long long>(state_));
  }

 private:
  std::uint64_t state_ = 14695981039346656037u;
};

template <class Values>
void print(const std::string& name, const Values& values) {
  digest d;
  d.add(std::span{values});
  d.print(name);
}

/// Multiples of 2^-exponent in a range of a few thousand, exactly; every 97th a hundred times as
/// large where there are outliers.
std::vector<float> numbers(std::size_t count, unsigned seed, int exponent, bool outliers = false) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    std::int32_t n = static_cast<std::int32_t>(seed >> 8 & 0xffff) - 0x8000;
    if (outliers && i % 97 == 13) n *= 100;
    const std::uint32_t unit = static_cast<std::uint32_t>(127 - exponent) << 23;
    float scale;
    std::memcpy(&scale, &unit, sizeof scale);
    result[i] = static_cast<float>(n) * scale;
  }
  return result;
}

constexpr std::size_t rows = 83, cols = 332, tokens = 5;

struct operands {
  std::vector<float> weights = numbers(rows * cols, 1, 20, true), x = numbers(tokens * cols, 2, 13);

  operands() {
    for (std::size_t i = 0; i < 64; ++i) weights[i] = 0;
    for (std::size_t i = 64; i < 128; ++i) weights[i] = weights[i] < 0 ? weights[i] : -weights[i];
    for (std::size_t i = 0; i < cols; ++i)  // ties of a scale of 1/8
      weights[4 * cols + i] = static_cast<float>(static_cast<int>(i % 31) - 15) / 16.0f;
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
  [[nodiscard]] er::matrix_view<const float> inputs() const { return {x.data(), tokens, cols}; }
};

template <class Policy>
void policy_results(const std::string& name, const operands& o) {
  std::vector<float> out(rows * cols);
  er::fake_quantize<Policy>(o.view(), er::matrix_view<float>{out.data(), rows, cols});
  print("policy " + name, out);
  const auto packed = er::pack<Policy>(o.view());
  print("pack " + name, packed.bytes());
  std::vector<er::float16> halves(rows * cols);
  er::fake_quantize<Policy>(o.view(), er::matrix_view<er::float16>{halves.data(), rows, cols});
  print("policy to float16 " + name, halves);
}

void policies(const operands& o) {
  using group = er::per_group<64>;
  policy_results<er::ternary<group>>("ternary", o);
  policy_results<er::ternary_absmax<group>>("ternary_absmax", o);
  policy_results<er::binary<group>>("binary", o);
  policy_results<er::int4<group>>("int4", o);
  policy_results<er::int8<group>>("int8", o);
  policy_results<er::int4_asymmetric<group>>("int4_asymmetric", o);
  policy_results<er::ternary<er::per_channel>>("ternary rows", o);
  using rule = er::zero_rule;
  policy_results<er::asymmetric<4, group>>("asymmetric", o);
  policy_results<er::asymmetric<3, group, er::float16, rule::integer>>("asymmetric integer", o);
  policy_results<er::as_stored<er::asymmetric<4, group, er::float16, rule::minimum>>>(
      "asymmetric minimum", o);
  {
    using learned = er::learned_step<er::int4<group>>;
    std::vector<float> scales(rows * 6), out(rows * cols), in_gradient(rows * cols),
        slopes(rows * 6);
    const er::matrix_view<float> gradient{in_gradient.data(), rows, cols};
    er::initial_scales<learned>(o.view(), scales);
    er::fake_quantize<learned>(o.view(), std::span<const float>{scales},
                               er::matrix_view<float>{out.data(), rows, cols});
    er::learned_step_backward<learned>(o.view(), scales, o.view(), gradient, slopes);
    print("learned scales", scales), print("learned values", out);
    print("learned gradients", in_gradient), print("learned gradients of scales", slopes);
  }
}

void products(const operands& o) {
  for (const char* name :
       {"ternary2_g64", "ternary5_g64", "binary_g64", "int3_g64", "int4_g64", "int6_g64",
        "int8_g64", "int2z_g64", "int4z_g64", "int4m_g64", "int8z_g64",
        "int4_g64+ternary5_g64:every_8_rows", "int4_asymmetric_g64", "f16", "bf16", "f32"}) {
    const auto format = er::matrix_format::parse(name);
    if (!format) continue;
    const er::any_matrix m = er::any_matrix::pack(*format, o.view());
    if (!m.is_dense()) print(std::string{"any_matrix "} + name, m.bytes());
    for (const er::kernel& k : er::available_kernels()) {
      const std::string of = std::string{name} + " " + std::string{k.name};
      std::vector<float> y(rows * tokens);
      const er::matrix_view<float> out{y.data(), tokens, rows};
      er::gemm(m, er::unquantized{o.inputs()}, out, {.kernel = &k});
      print("product of floats " + of, y);
      if (m.is_dense()) continue;
      er::packed_activations room(cols, 64, tokens);
      const auto x = er::quantize_activations(o.inputs(), room, {.kernel = &k});
      er::gemm(m, x, out, {.kernel = &k});
      print("product " + of, y);
    }
  }
}

void kernels(const operands& o) {
  for (const er::kernel& k : er::available_kernels()) {
    const std::string name{k.name};
    er::packed_activations room(cols, 64, tokens);
    (void)er::quantize_activations(o.inputs(), room, {.kernel = &k});
    digest d;
    for (std::size_t t = 0; t < tokens; ++t) {
      d.add(std::span<const std::int8_t>{room.codes(t), cols});
      d.add(std::span<const float>{room.scales(t), room.groups()});
    }
    d.print("activations " + name);

    std::vector<float> scores = numbers(1003, 3, 11), gate = numbers(1003, 4, 9),
                       up = numbers(1003, 5, 14);
    er::softmax(scores, {.scale = 0.3f, .kernel = &k});
    print("softmax " + name, scores);
    gate[17] = -300.0f, gate[18] = 300.0f;
    std::vector<float> product(1003);
    er::silu_product(gate, up, product, {.kernel = &k});
    print("silu " + name, product);

    er::kv_cache cache(2, 80, 70);
    for (unsigned i = 0; i < 70; ++i)
      cache.append(numbers(160, 10 + i, 15), numbers(160, 90 + i, 15));
    const std::vector<float> queries = numbers(480, 6, 14);
    std::vector<float> room_for_scores(420), mixed(480);
    const std::size_t lengths[] = {65, 66, 67, 68, 69, 70};
    er::attention(cache, 1, er::matrix_view<const float>{queries.data(), 6, 80}, lengths, 0.1f,
                  er::matrix_view<float>{room_for_scores.data(), 6, 70},
                  er::matrix_view<float>{mixed.data(), 6, 80}, {.kernel = &k});
    print("attention " + name, mixed);
  }
}

#if EDGERAZOR_TEST_LOSSES
/// Losses of `count` rows of `size` logits; the student is the teacher and a little more where it
/// is near.
template <class Loss>
void loss_results(const std::string& name, const Loss& loss, std::size_t count, std::size_t size,
                  bool near) {
  std::vector<float> teacher = numbers(count * size, 7, 12), student = numbers(count * size, 8, 12);
  if (near) {
    for (std::size_t i = 0; i < student.size(); ++i)
      student[i] = teacher[i] + student[i] * 0x1p-10f;
  }
  std::vector<std::int64_t> labels(count);
  for (std::size_t i = 0; i < count; ++i) labels[i] = static_cast<std::int64_t>(i * 7 + 1);
  std::vector<float> gradient(count * size);
  const er::matrix_view<const float> s{student.data(), count, size}, t{teacher.data(), count, size};
  const er::matrix_view<float> g{gradient.data(), count, size};
  const er::token_batch batch{.labels = labels, .how = er::reduction::mean};
  double value = 0;
  if constexpr (std::is_same_v<Loss, er::cross_entropy>) {
    value = loss(s, batch, g).value;
  } else if constexpr (std::is_same_v<Loss, er::router_z>) {
    value = loss(s, g).value;
  } else {
    value = loss(s, t, batch, g).value;
  }
  digest d;
  d.add(value);
  d.add(std::span<const float>{gradient});
  d.print(name + (near ? " near " : " ") + std::to_string(size));
}

void losses() {
  for (const std::size_t size : {std::size_t{323}, std::size_t{9001}}) {
    for (const bool near : {false, true}) {
      loss_results("forward_kl", er::forward_kl{}, 4, size, near);
      loss_results("reverse_kl", er::reverse_kl{.temperature = 2}, 4, size, near);
      loss_results("entropy_aware_kl", er::entropy_aware_kl{}, 4, size, near);
      loss_results("forward_kl parity", er::forward_kl{.mode = er::loss_mode::parity}, 4, size,
                   near);
      loss_results("generalized_js", er::generalized_js{}, 4, size, near);
      loss_results("skew_kl", er::skew_kl{}, 4, size, near);
      loss_results("skew_reverse_kl", er::skew_reverse_kl{}, 4, size, near);
      loss_results("total_variation", er::total_variation{}, 4, size, near);
      loss_results("hidden_mse", er::hidden_mse{}, 4, size, near);
      loss_results("hidden_cosine", er::hidden_cosine{}, 4, size, near);
    }
    loss_results("cross_entropy", er::cross_entropy{.label_smoothing = 0.1f}, 4, size, false);
    loss_results("router_z", er::router_z{}, 4, size, false);
  }
  const std::vector<std::int32_t> ids{3, 9, 17, 4, 9, 17, 5, 9, 17, 6, 9, 17};
  const std::vector<float> logs{-0.5f,  -1.625f, -2.25f, -0.5f,  -1.625f, -2.25f,
                                -0.75f, -1.5f,   -2.25f, -0.25f, -2.0f,   -3.0f};
  const std::vector<float> student = numbers(4 * 300, 9, 12);
  std::vector<float> gradient(4 * 300);
  const er::top_k_teacher teacher{{ids.data(), 4, 3}, {logs.data(), 4, 3}, er::top_k_tail::bucket};
  const double value =
      er::top_k_loss<er::forward_kl>{}(er::matrix_view<const float>{student.data(), 4, 300},
                                       teacher, er::token_batch{.how = er::reduction::mean},
                                       er::matrix_view<float>{gradient.data(), 4, 300})
          .value;
  digest d;
  d.add(value), d.add(std::span<const float>{gradient});
  d.print("top_k_loss");
}

#endif

void files(const operands& o) {
  for (const char* name : {"ternary2_g256", "int4_g32"}) {
    const std::vector<float> weights = numbers(32 * 512, 21, 20);
    const er::any_matrix m = er::any_matrix::pack(
        *er::matrix_format::parse(name), er::matrix_view<const float>{weights.data(), 32, 512});
    er::gguf_writer writer;
    writer.set_string("general.architecture", "flags");
    er::add_matrix(writer, "w", m);
    er::add_exported(
        writer, "e", m,
        std::string_view{name} == "int4_g32" ? er::ggml_type::q4_0 : er::ggml_type::tq2_0);
    const auto path =
        std::filesystem::temp_directory_path() / ("edgerazor_flags_" + std::string{name} + ".gguf");
    writer.write(path.string());
    const auto file = er::gguf_reader::open(path.string());
    const auto back = er::load_matrix(file, "w");
    std::vector<float> y(32);
    er::gemv(back, std::span<const float>{weights.data(), 512}, std::span<float>{y});
    print(std::string{"file "} + name, y);
    print(std::string{"exported "} + name, file.tensors().back().bytes);
    std::filesystem::remove(path);
  }
  std::vector<er::float16> halves(rows * cols);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = er::float16{o.weights[i] * 1e-3f};
  print("float16", halves);
}

}  // namespace

int main() {
  const operands o;
  policies(o);
  products(o);
  kernels(o);
#if EDGERAZOR_TEST_LOSSES
  losses();
#endif
  files(o);
}
