// SPDX-License-Identifier: Apache-2.0
#include "ggml_library.hpp"

#include <stdexcept>

namespace peers {

namespace {

constexpr pairing pairs[] = {
    {"ternary2_g256", {GGML_TYPE_TQ2_0, false}}, {"ternary5_g256", {GGML_TYPE_TQ1_0, false}},
    {"int4_g256", {GGML_TYPE_Q4_0, true}},       {"int4_g32", {GGML_TYPE_Q4_0, true}},
    {"int4_g256", {GGML_TYPE_Q4_0, false}},      {"bf16", {GGML_TYPE_BF16, false}},
};

ggml_backend_dev_t cpu_device() {
  static const bool loaded = [] {
    ggml_backend_load_all();  // nothing, unless ggml was built with backends to load at run time
    return true;
  }();
  (void)loaded;
  ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (!device) throw std::runtime_error("ggml has no CPU backend");
  return device;
}

template <class Function>
Function cpu_function(const char* name) {
  return reinterpret_cast<Function>(
      ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu_device()), name));
}

}  // namespace

std::string_view library_name() { return "ggml"; }

std::span<const pairing> pairings() { return pairs; }

std::string library_features() {
  const auto features = cpu_function<ggml_backend_get_features_t>("ggml_backend_get_features");
  std::string text;
  if (!features) return text;
  for (const ggml_backend_feature* f = features(ggml_backend_dev_backend_reg(cpu_device()));
       f->name; ++f) {
    text.append(text.empty() ? "" : " ").append(f->name);
  }
  return text;
}

ggml_backend_t new_cpu_backend() { return ggml_backend_dev_init(cpu_device(), nullptr); }

ggml_backend_buffer_type_t weight_buffer_type(ggml_format format) {
  if (!format.repacked) return ggml_backend_dev_buffer_type(cpu_device());
  const auto extra =
      cpu_function<ggml_backend_dev_get_extra_bufts_t>("ggml_backend_dev_get_extra_bufts");
  if (extra) {
    for (ggml_backend_buffer_type_t* type = extra(cpu_device()); type && *type; ++type) {
      if (std::string_view{ggml_backend_buft_name(*type)}.find("REPACK") != std::string_view::npos)
        return *type;
    }
  }
  throw std::runtime_error("ggml has no buffer type that repacks");
}

std::shared_ptr<void> use_threads(ggml_backend_t backend, std::size_t threads,
                                  const bench::processors& processors) {
  const auto set_count = cpu_function<ggml_backend_set_n_threads_t>("ggml_backend_set_n_threads");
  const auto set_pool =
      cpu_function<void (*)(ggml_backend_t, ggml_threadpool_t)>("ggml_backend_cpu_set_threadpool");
  const auto new_pool =
      cpu_function<ggml_threadpool_t (*)(ggml_threadpool_params*)>("ggml_threadpool_new");
  const auto free_pool = cpu_function<void (*)(ggml_threadpool_t)>("ggml_threadpool_free");
  if (!set_count || !set_pool || !new_pool || !free_pool)
    throw std::runtime_error("ggml has no thread pool");
  ggml_threadpool_params wanted = ggml_threadpool_params_default(static_cast<int>(threads));
  wanted.strict_cpu = threads > 1;
  for (std::size_t i = 0; threads > 1 && i < threads; ++i)
    wanted.cpumask[processors.number(i)] = true;
  const ggml_threadpool_t pool = new_pool(&wanted);
  set_count(backend, static_cast<int>(threads));
  set_pool(backend, pool);
  return {pool, free_pool};
}

void quantize_rows(ggml_type type, const float* values, std::byte* packed, std::size_t rows,
                   std::size_t cols) {
  ggml_quantize_chunk(type, values, packed, 0, static_cast<std::int64_t>(rows),
                      static_cast<std::int64_t>(cols), nullptr);
}

void dequantize_row(ggml_type type, const std::byte* packed, std::size_t row,
                    std::span<float> values) {
  const auto cols = static_cast<std::int64_t>(values.size());
  ggml_get_type_traits(type)->to_float(packed + row * ggml_row_size(type, cols), values.data(),
                                       cols);
}

}  // namespace peers
