// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <stdexcept>
#include <vector>

#include "ggml_library.hpp"

namespace peers {

namespace {

constexpr pairing pairs[] = {
    {"ternary2_g256", {GGML_TYPE_IQ2_BN, false}},
    {"ternary2_g256", {GGML_TYPE_IQ2_BN_R4, false}},
    {"ternary2_row", {GGML_TYPE_IQ2_BN_R4, false}},
    {"ternary3_g256", {GGML_TYPE_IQ2_BN_R4, false}},
    {"ternary5_g256", {GGML_TYPE_IQ1_BN, false}},
    {"int4_g256", {GGML_TYPE_Q4_0_R8, false}},
    {"int4_g32", {GGML_TYPE_Q4_0_R8, false}},
    {"int4_g256", {GGML_TYPE_Q4_K_R4, false}},
    {"bf16", {GGML_TYPE_BF16, false}},
};

/// Rows that stand in one another.
std::size_t interleaved_rows(ggml_type type) {
  switch (type) {
    case GGML_TYPE_IQ2_BN_R4:
    case GGML_TYPE_Q4_K_R4:
      return 4;
    case GGML_TYPE_Q4_0_R8:
      return 8;
    default:
      return 1;
  }
}

}  // namespace

std::string_view library_name() { return "ik_llama.cpp"; }

std::span<const pairing> pairings() { return pairs; }

std::string library_features() {
  std::string text;
  const auto add = [&](const char* name, int present) {
    if (present != 0) text.append(text.empty() ? "" : " ").append(name);
  };
  add("AVX2", ggml_cpu_has_avx2());
  add("FMA", ggml_cpu_has_fma());
  add("AVX_VNNI", ggml_cpu_has_avx_vnni());
  add("AVX512", ggml_cpu_has_avx512());
  add("AVX512_VBMI", ggml_cpu_has_avx512_vbmi());
  add("AVX512_VNNI", ggml_cpu_has_avx512_vnni());
  add("AVX512_BF16", ggml_cpu_has_avx512_bf16());
  add("NEON", ggml_cpu_has_neon());
  add("MATMUL_INT8", ggml_cpu_has_matmul_int8());
  return text;
}

ggml_backend_t new_cpu_backend() { return ggml_backend_cpu_init(); }

ggml_backend_buffer_type_t weight_buffer_type(ggml_format format) {
  if (format.repacked) throw std::runtime_error("interleaved rows are formats of their own here");
  return ggml_backend_cpu_buffer_type();
}

/// Its threads are OpenMP's, wherever that puts them.
std::shared_ptr<void> use_threads(ggml_backend_t backend, std::size_t threads,
                                  const bench::processors&) {
  ggml_backend_cpu_set_n_threads(backend, static_cast<int>(threads));
  return nullptr;
}

void quantize_rows(ggml_type type, const float* values, std::byte* packed, std::size_t rows,
                   std::size_t cols) {
  ggml_quantize_chunk(type, values, packed, 0, static_cast<std::int64_t>(rows),
                      static_cast<std::int64_t>(cols), nullptr, nullptr);
}

/// Interleaved rows are dequantized together. Else a row begins with its scale, float32 or float16,
/// where it has one, which to_float neither skips nor applies.
void dequantize_row(ggml_type type, const std::byte* packed, std::size_t row,
                    std::span<float> values) {
  const auto cols = static_cast<std::int64_t>(values.size());
  const ggml_type_traits_t traits = ggml_internal_get_type_traits(type);
  const std::size_t together = interleaved_rows(type);
  const std::byte* from = packed + row / together * together * ggml_row_size(type, cols);
  if (together == 1) {
    traits.to_float(from + traits.row_meta_size, values.data(), cols);
    float scale = 1;
    if (traits.row_meta_size == sizeof(float)) {
      std::memcpy(&scale, from, sizeof scale);
    } else if (traits.row_meta_size == sizeof(ggml_fp16_t)) {
      ggml_fp16_t half{};
      std::memcpy(&half, from, sizeof half);
      scale = ggml_fp16_to_fp32(half);
    }
    for (float& value : values) value *= scale;
    return;
  }
  std::vector<float> all(together * values.size());
  traits.to_float(from, all.data(), cols * static_cast<std::int64_t>(together));
  const float* mine = &all[row % together * values.size()];
  std::copy(mine, mine + values.size(), values.begin());
}

}  // namespace peers
