// SPDX-License-Identifier: Apache-2.0
/// Which packed layout a linear layer of a Hugging Face model has, by what the model says of its
/// quantization, and the layer as a packed_linear:
///
///     const er::hf_model model = er::hf_model::open(folder);
///     if (const auto linear = er::find_packed_linear(model, er::hf_role::up, layer)) {
///       if (linear->exact_format()) {
///         const er::any_matrix matrix = linear->import_matrix();
///       } else {
///         linear->decode_rows(rows, out);  // and quantize it, which loses what rounding loses
///       }
///     }
///
/// What a layer's tensors must be is in the header of each layout.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/awq.hpp>
#include <edgerazor/io/bitnet.hpp>
#include <edgerazor/io/compressed_tensors.hpp>
#include <edgerazor/io/edgerazor_linear.hpp>
#include <edgerazor/io/float4_float8.hpp>
#include <edgerazor/io/gemma.hpp>
#include <edgerazor/io/gptq.hpp>
#include <edgerazor/io/hf_model.hpp>
#include <edgerazor/io/hf_names.hpp>
#include <edgerazor/io/hf_quantization.hpp>
#include <edgerazor/io/hqq.hpp>
#include <edgerazor/io/packed_linear.hpp>
#include <edgerazor/io/safetensors_tensor.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A model's tensor by its name, null where it has none: `find` of safetensors_reader and
/// safetensors_files.
using tensor_lookup = std::function<const safetensors_tensor*(std::string_view)>;

/// Outputs and inputs of a layer, as the model's configuration has them; 0 where that is not known.
struct linear_shape {
  std::size_t rows = 0, cols = 0;
};

namespace detail::io {

/// A layer that is asked for.
struct packed_layer {
  const tensor_lookup& files;
  const std::string& base;
  const hf_quantization& model;
  const hf_layer_quantization& settings;
  linear_shape shape;

  /// The tensor `base` + suffix, or null.
  [[nodiscard]] const safetensors_tensor* find(const char* suffix) const {
    return files(base + suffix);
  }
  [[nodiscard]] const safetensors_tensor& get(const char* suffix) const {
    if (const safetensors_tensor* const tensor = find(suffix)) return *tensor;
    core::fail_io("layer " + edgerazor::quoted(base) + " of " + model.method_name +
                  " weights has no tensor " + edgerazor::quoted(base + suffix));
  }
  /// `base`.weight where it holds codes; null where it is absent or of real numbers.
  [[nodiscard]] const safetensors_tensor* coded_weight() const {
    using enum safetensors_dtype;
    const safetensors_tensor* const weight = find(".weight");
    const bool real = weight != nullptr && (weight->dtype == f64 || weight->dtype == f32 ||
                                            weight->dtype == f16 || weight->dtype == bf16);
    return real ? nullptr : weight;
  }
  [[nodiscard]] unsigned bits(unsigned otherwise) const noexcept {
    return settings.bits == 0 ? otherwise : static_cast<unsigned>(settings.bits);
  }
};

inline std::optional<packed_linear> open_gptq_as(const packed_layer& l, gptq_version version) {
  const safetensors_tensor* const qweight = l.find(".qweight");
  if (qweight == nullptr) return std::nullopt;
  return gptq_linear(
      l.base, *qweight, l.get(".qzeros"), l.get(".scales"), l.find(".g_idx"),
      {l.bits(4), version, l.settings.symmetric, l.settings.group, l.shape.rows, l.shape.cols});
}
inline std::optional<packed_linear> open_gptq(const packed_layer& l) {
  return open_gptq_as(l, l.settings.format == "gptq_v2"  ? gptq_version::v2
                         : l.settings.format == "gptq_p" ? gptq_version::planar
                                                         : gptq_version::v1);
}
inline std::optional<packed_linear> open_awq(const packed_layer& l) {
  const safetensors_tensor* const qweight = l.find(".qweight");
  if (qweight == nullptr) return std::nullopt;
  if (l.bits(4) != 4) {
    core::fail_io("layer " + edgerazor::quoted(l.base) + " of AWQ weights has codes of " +
                  std::to_string(l.settings.bits) + " bits, expected 4");
  }
  return awq_linear(l.base, *qweight, l.get(".qzeros"), l.get(".scales"), l.settings.group);
}
inline std::optional<packed_linear> open_auto_round(const packed_layer& l) {
  if (l.settings.format.ends_with("awq")) return open_awq(l);
  // "auto_round" stores zeros as they are.
  return open_gptq_as(l, l.settings.format == "auto_round" ? gptq_version::v2 : gptq_version::v1);
}

inline std::optional<packed_linear> open_fp8(const packed_layer& l) {
  const safetensors_tensor* const weight = l.coded_weight();
  if (weight == nullptr) return std::nullopt;
  const safetensors_tensor* const inverse = l.find(".weight_scale_inv");
  const safetensors_tensor& scale = inverse != nullptr ? *inverse : l.get(".weight_scale");
  // Blocks of 128 x 128 are the rule where none are named.
  const bool blocks = inverse != nullptr || l.settings.strategy == "block";
  const std::size_t otherwise = blocks ? 128 : 0;
  return fp8_linear(l.base, *weight, scale,
                    l.settings.block_rows != 0 ? l.settings.block_rows : otherwise,
                    l.settings.block_cols != 0 ? l.settings.block_cols : otherwise);
}
inline std::optional<packed_linear> open_nvfp4(const packed_layer& l) {
  const safetensors_tensor* const weight = l.coded_weight();
  if (weight == nullptr) return std::nullopt;
  if (weight->dtype == safetensors_dtype::f8_e4m3) return open_fp8(l);
  return nvfp4_linear(l.base, *weight, l.get(".weight_scale"), l.get(".weight_scale_2"),
                      nvfp4_scale::multiplier);
}
inline std::optional<packed_linear> open_mxfp4(const packed_layer& l) {
  if (const safetensors_tensor* const blocks = l.find("_blocks")) {
    refuse_tensor(*blocks, "a matrix: experts are opened one by one (mxfp4_expert_linear)");
  }
  const safetensors_tensor* const weight = l.coded_weight();
  if (weight == nullptr) return std::nullopt;
  return mxfp4_linear(l.base, *weight, l.get(".weight_scale"));
}
inline std::optional<packed_linear> open_compressed_tensors(const packed_layer& l) {
  const safetensors_tensor* const packed = l.find(".weight_packed");
  const safetensors_tensor* const weight = packed != nullptr ? packed : l.coded_weight();
  if (weight == nullptr) return std::nullopt;
  if (l.settings.format == "nvfp4-pack-quantized") {
    return nvfp4_linear(l.base, *weight, l.get(".weight_scale"), l.get(".weight_global_scale"),
                        nvfp4_scale::divisor);
  }
  if (l.settings.format == "mxfp4-pack-quantized")
    return mxfp4_linear(l.base, *weight, l.get(".weight_scale"));
  if (l.settings.is_float) return open_fp8(l);
  return compressed_tensors_linear(l.base,
                                   {weight, &l.get(".weight_scale"), l.find(".weight_zero_point"),
                                    l.find(".weight_shape"), l.find(".weight_g_idx")},
                                   l.bits(8), l.settings.group);
}

inline std::optional<packed_linear> open_bitnet(const packed_layer& l) {
  const safetensors_tensor* const weight = l.coded_weight();
  if (weight == nullptr) {
    // Masters of an online model are ternary only when they run.
    if (l.model.mode == "online" && l.find(".weight") != nullptr) {
      core::fail_io("layer " + edgerazor::quoted(l.base) +
                    " of BitNet weights is quantized when it runs ('online'), expected packed "
                    "weights ('offline')");
    }
    return std::nullopt;
  }
  return bitnet_linear(
      l.base, *weight, l.get(".weight_scale"),
      l.settings.format == "autobitlinear" ? bitnet_class::autobitlinear : bitnet_class::bitlinear,
      l.shape.rows);
}

/// The integers of a small tensor; none where it is absent.
inline std::vector<std::int64_t> small_integers(const safetensors_tensor* tensor) {
  using enum safetensors_dtype;
  std::vector<std::int64_t> result;
  if (tensor == nullptr) return result;
  const auto read_as = [&](auto zero) {
    std::vector<decltype(zero)> numbers(tensor->elements());
    read_integers(*tensor, 0, std::span{numbers});
    for (const auto number : numbers) result.push_back(static_cast<std::int64_t>(number));
  };
  if (tensor->elements() > 8) refuse_tensor(*tensor, "at most 8 integers");
  if (tensor->dtype == boolean) {
    for (const std::byte byte : tensor->bytes) result.push_back(std::to_integer<int>(byte));
  } else if (tensor->dtype == u8) {
    read_as(std::uint8_t{});
  } else if (tensor->dtype == i64) {
    read_as(std::int64_t{});
  } else {
    read_as(std::int32_t{});
  }
  return result;
}
inline std::optional<packed_linear> open_hqq(const packed_layer& l) {
  const safetensors_tensor* const w_q = l.find(".W_q");
  if (w_q == nullptr) return std::nullopt;
  for (const char* const flag : {".view_as_float", ".quant_scale", ".quant_zero"}) {
    const std::vector<std::int64_t> value = small_integers(l.find(flag));
    if (!value.empty() && value[0] != 0) {
      core::fail_io("layer " + edgerazor::quoted(l.base) + " of HQQ weights sets '" + (flag + 1) +
                    "', which is not read");
    }
  }
  const auto number = [&](const char* suffix, std::size_t otherwise) {
    const std::vector<std::int64_t> value = small_integers(l.find(suffix));
    if (value.empty()) return otherwise;
    return value[0] < 0 || value[0] > 64 ? std::size_t{64} : static_cast<std::size_t>(value[0]);
  };
  hqq_settings settings;
  settings.bits = static_cast<unsigned>(number(".nbits", l.bits(4)));
  settings.axis = static_cast<unsigned>(number(".axis", l.model.axis));
  const std::vector<std::int64_t> shape = small_integers(l.find(".shape"));
  if (shape.size() == 2 && shape[0] > 0 && shape[1] > 0) {
    settings.rows = static_cast<std::size_t>(shape[0]);
    settings.cols = static_cast<std::size_t>(shape[1]);
  } else {
    settings.rows = l.shape.rows, settings.cols = l.shape.cols;
  }
  return hqq_linear(l.base, *w_q, l.get(".scale"), l.get(".zero"), settings);
}

inline std::optional<packed_linear> open_gemma(const packed_layer& l) {
  const safetensors_tensor* const embedding = l.find(".embedding_quantized");
  const safetensors_tensor* const weight = embedding != nullptr ? embedding : l.coded_weight();
  if (weight == nullptr) return std::nullopt;
  const safetensors_tensor& scale =
      l.get(embedding != nullptr ? ".embedding_scale" : ".weight_scale");
  unsigned bits = l.bits(4);
  if (weight->dtype == safetensors_dtype::i8) {
    bits = 8;
  } else if (l.shape.cols != 0 && weight->is_matrix()) {
    bits = l.shape.cols > 2 * weight->cols() ? 2 : 4;
  }
  return gemma_linear(l.base, *weight, scale, bits, l.shape.cols);
}

inline std::optional<packed_linear> open_edgerazor(const packed_layer& l) {
  if (const safetensors_tensor* const high = l.find(".qweight_int4")) {
    return edgerazor_packed_linear(l.base, *high, l.get(".qweight_scale_int4"),
                                   l.get(".qweight_int2"), l.get(".qweight_scale_int2"),
                                   l.get(".inverse_perm"));
  }
  if (const safetensors_tensor* const qweight = l.find(".qweight")) {
    const bool ternary = l.shape.cols != 0 && qweight->is_matrix()
                             ? l.shape.cols > 2 * qweight->cols()
                             : l.model.mode.starts_with("w1_58");
    return edgerazor_packed_linear(l.base, ternary ? checkpoint_code::int2 : checkpoint_code::int4,
                                   *qweight, l.get(".qweight_scale"));
  }
  const safetensors_tensor* const weight = l.find(".weight");
  if (weight == nullptr) return std::nullopt;
  std::optional<packed_linear> result;
  if (l.settings.group != 0)
    result = edgerazor_fake_quantized_linear(l.base, *weight, l.settings.group);
  return result ? result : edgerazor_fake_quantized_linear(l.base, *weight);
}

struct packed_family {
  hf_quant_method method;
  std::optional<packed_linear> (*open)(const packed_layer& layer);
};
/// Every method that has packed layers.
inline constexpr std::array<packed_family, 11> packed_families{{
    {hf_quant_method::edgerazor, open_edgerazor},
    {hf_quant_method::bitnet, open_bitnet},
    {hf_quant_method::gptq, open_gptq},
    {hf_quant_method::awq, open_awq},
    {hf_quant_method::compressed_tensors, open_compressed_tensors},
    {hf_quant_method::auto_round, open_auto_round},
    {hf_quant_method::hqq, open_hqq},
    {hf_quant_method::gemma, open_gemma},
    {hf_quant_method::mxfp4, open_mxfp4},
    {hf_quant_method::nvfp4, open_nvfp4},
    {hf_quant_method::fp8, open_fp8},
}};
}  // namespace detail::io

/// The layer `base` ("model.layers.0.self_attn.q_proj", whose tensors are `base`.weight,
/// `base`.qweight and so on), if it is packed; nothing where the model's configuration or the
/// layer's tensors say that it is not: its `base`.weight, if there is one, is of real numbers.
/// io_error, naming layer or tensor, where one that belongs to it is absent or not what its layout
/// has, or where the layer has another shape than expected (some layouts are padded, or tell no
/// shape: give it where it is known).
[[nodiscard]] inline std::optional<packed_linear> find_packed_linear(
    const tensor_lookup& files, const std::string& base, const hf_quantization& quantization,
    const linear_shape& expected = {}) {
  const std::optional<hf_layer_quantization> settings = quantization.of(base);
  if (!settings) return std::nullopt;
  for (const detail::io::packed_family& family : detail::io::packed_families) {
    if (family.method != quantization.method) continue;
    std::optional<packed_linear> linear =
        family.open({files, base, quantization, *settings, expected});
    if (linear && ((expected.rows != 0 && linear->rows() != expected.rows) ||
                   (expected.cols != 0 && linear->cols() != expected.cols))) {
      detail::core::fail_io("layer " + edgerazor::quoted(base) + " (" + linear->layout() + ") is " +
                            detail::core::shape_text(linear->rows(), linear->cols()) +
                            ", expected " + detail::core::shape_text(expected.rows, expected.cols));
    }
    return linear;
  }
  return std::nullopt;
}
/// The same of a reader of one file or of several (`find(name)`), which must outlive the result.
template <class Files>
  requires requires(const Files& files) {
    { files.find(std::string_view{}) } -> std::convertible_to<const safetensors_tensor*>;
  }
[[nodiscard]] std::optional<packed_linear> find_packed_linear(const Files& files,
                                                              const std::string& base,
                                                              const hf_quantization& quantization,
                                                              const linear_shape& expected = {}) {
  return find_packed_linear(
      tensor_lookup{[&files](std::string_view name) { return files.find(name); }}, base,
      quantization, expected);
}

/// The same of a model's matrix, which must have the shape that its configuration gives it; nothing
/// also for a role that is no matrix. io_error where the model has no such tensor.
[[nodiscard]] inline std::optional<packed_linear> find_packed_linear(const hf_model& model,
                                                                     hf_role role,
                                                                     std::size_t layer = 0) {
  const std::vector<std::uint64_t> shape = hf_shape(model.config(), role);
  if (shape.size() != 2) return std::nullopt;
  return find_packed_linear(
      model.files(), model.get(role, layer).name, model.quantization(),
      linear_shape{static_cast<std::size_t>(shape[0]), static_cast<std::size_t>(shape[1])});
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
