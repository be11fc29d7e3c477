// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "llm/tokenizer_gguf.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

namespace {

// A GGUF file of an architecture of its own: three tensors of one dimension, and these keys.
constexpr std::string_view architecture = "qad-checkpoint";
constexpr std::string_view version_key = "qad.version", step_key = "qad.step",
                           options_key = "qad.options", hash_key = "qad.fingerprint";
constexpr std::uint32_t version = 1;

std::uint64_t fingerprint_of(const checkpoint_view& state) {
  std::uint64_t hash = fingerprint(state.options, state.step);
  for (const std::string& token : state.words->tokens) hash = fingerprint(token, hash);
  for (const std::string& merge : state.words->merges) hash = fingerprint(merge, hash);
  hash = fingerprint(std::as_bytes(std::span{state.words->types}), hash);
  hash = fingerprint(std::to_string(state.words->eos.value_or(-1)), hash);
  for (const std::span<const std::byte> bytes :
       {std::as_bytes(state.weights), state.first_moments, state.second_moments})
    hash = fingerprint(bytes, hash + bytes.size() / sizeof(float));
  return hash;
}

/// Empty where there is no such tensor.
std::span<const float> numbers(const er::gguf_reader& file, std::string_view name) {
  const er::tensor_info* const tensor = file.find(name);
  if (tensor == nullptr) return {};
  if (tensor->type != er::ggml_type::f32)
    throw er::io_error("tensor " + er::quoted(name) + " is not F32");
  const std::byte* const first = tensor->bytes.data();
  if (reinterpret_cast<std::uintptr_t>(first) % alignof(float) != 0)
    throw er::io_error("tensor " + er::quoted(name) + " does not lie at a multiple of four bytes");
  return {reinterpret_cast<const float*>(first), tensor->bytes.size() / sizeof(float)};
}

/// That of the optimizer's state: float32 where there is none.
moment_type moment_type_of(const er::gguf_reader& file) {
  const er::tensor_info *const first = file.find("first_moments"), *const second =
                                                                       file.find("second_moments");
  if (first == nullptr && second == nullptr) return moment_type::float32;
  if (first == nullptr || second == nullptr || first->type != second->type)
    throw er::io_error("first_moments and second_moments are not of one type");
  for (const moment_form& form : moment_forms) {
    if (first->type == form.tensor) return form.type;
  }
  throw er::io_error("tensor first_moments is neither F32 nor BF16");
}

std::span<const std::byte> bytes_of(const er::gguf_reader& file, std::string_view name) {
  const er::tensor_info* const tensor = file.find(name);
  return tensor == nullptr ? std::span<const std::byte>{} : tensor->bytes;
}

}  // namespace

std::uint64_t fingerprint(std::span<const std::byte> bytes, std::uint64_t seed) noexcept {
  std::uint64_t hash = seed;
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min<std::size_t>(8, bytes.size() - at));
    hash = (hash ^ word) * 0x100000001b3u;
    hash ^= hash >> 32;  // FNV's product moves nothing downwards
  }
  return hash ^ bytes.size();
}

void write_checkpoint(const std::filesystem::path& path, const checkpoint_view& state) {
  er::gguf_writer writer;
  writer.set_string("general.architecture", architecture);
  writer.set_u32(version_key, version);
  writer.set_u64(step_key, state.step);
  writer.set_string(options_key, state.options);
  writer.set_u64(hash_key, fingerprint_of(state));
  llm::write_vocabulary(writer, *state.words);
  const moment_form& form = form_of(state.moments);
  writer.add_tensor("weights", er::ggml_type::f32, {state.weights.size()},
                    std::as_bytes(state.weights));
  for (const auto& [name, bytes] : {std::pair{"first_moments", state.first_moments},
                                    {"second_moments", state.second_moments}}) {
    if (!bytes.empty()) writer.add_tensor(name, form.tensor, {bytes.size() / form.bytes}, bytes);
  }
  writer.write(path);
}

mapped_checkpoint::mapped_checkpoint(const std::filesystem::path& path)
    : file_(er::gguf_reader::open(path)) {
  try {
    if (file_.get_string("general.architecture") != architecture)
      throw er::io_error("it is a model");
    if (const std::uint32_t found = file_.get_u32(version_key); found != version) {
      throw er::io_error("it has version " + std::to_string(found) + ", expected " +
                         std::to_string(version));
    }
    step_ = file_.get_u64(step_key);
    options_ = file_.get_string(options_key);
    words_ = llm::read_vocabulary(file_);
    weights_ = numbers(file_, "weights");
    moments_ = moment_type_of(file_);
    first_moments_ = bytes_of(file_, "first_moments");
    second_moments_ = bytes_of(file_, "second_moments");
    if (file_.get_u64(hash_key) != fingerprint_of(view()))
      throw er::io_error("its bytes are not the ones that were written");
  } catch (const er::io_error& reason) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " is no checkpoint that can be read: " + reason.what());
  }
}

checkpoint read_checkpoint(const std::filesystem::path& path) {
  const mapped_checkpoint file(path);
  const checkpoint_view there = file.view();
  const auto copy = [](auto values) { return std::vector(values.begin(), values.end()); };
  return {there.step,
          std::string{there.options},
          *there.words,
          copy(there.weights),
          there.moments,
          copy(there.first_moments),
          copy(there.second_moments)};
}

}  // namespace qad
