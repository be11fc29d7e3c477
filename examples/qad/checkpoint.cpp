// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include <algorithm>
#include <array>
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
  for (const auto& values : {state.weights, state.first_moments, state.second_moments}) {
    hash = fingerprint(values, hash + values.size());
  }
  return hash;
}

std::vector<float> read_numbers(const er::gguf_reader& file, std::string_view name) {
  const er::tensor_info* const tensor = file.find(name);
  if (tensor == nullptr) return {};
  if (tensor->type != er::ggml_type::f32)
    throw er::io_error("tensor " + er::quoted(name) + " is not F32");
  std::vector<float> values(tensor->bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

checkpoint read_fields(const er::gguf_reader& file) {
  if (file.get_string("general.architecture") != architecture) throw er::io_error("it is a model");
  if (const std::uint32_t found = file.get_u32(version_key); found != version) {
    throw er::io_error("it has version " + std::to_string(found) + ", expected " +
                       std::to_string(version));
  }
  checkpoint state;
  state.step = file.get_u64(step_key);
  state.options = file.get_string(options_key);
  state.words = llm::read_vocabulary(file);
  state.weights = read_numbers(file, "weights");
  state.first_moments = read_numbers(file, "first_moments");
  state.second_moments = read_numbers(file, "second_moments");
  if (file.get_u64(hash_key) != fingerprint_of(state.view()))
    throw er::io_error("its bytes are not the ones that were written");
  return state;
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
  for (const auto& [name, values] : {std::pair{"weights", state.weights},
                                     {"first_moments", state.first_moments},
                                     {"second_moments", state.second_moments}}) {
    if (!values.empty())
      writer.add_tensor(name, er::ggml_type::f32, {values.size()}, std::as_bytes(values));
  }
  writer.write(path);
}

checkpoint read_checkpoint(const std::filesystem::path& path) {
  std::string error;
  const auto file = er::gguf_reader::try_open(path, error);
  if (!file) throw er::io_error(error);
  try {
    return read_fields(*file);
  } catch (const er::io_error& reason) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " is no checkpoint that can be read: " + reason.what());
  }
}

}  // namespace qad
