// SPDX-License-Identifier: Apache-2.0
#include "export.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>

#include "checkpoint.hpp"
#include "llm/model.hpp"
#include "llm/tokenizer_gguf.hpp"
#include "llm/weight_source.hpp"
#include "quantization.hpp"
#include "stored_weights.hpp"
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/policy/recipe.hpp>

namespace qad {

namespace {

/// The formats of a recipe; "none" as float16.
er::recipe storage_recipe(std::string_view name, const shape& s, std::size_t group) {
  if (name == "none") name = "w16";
  er::recipe_options options;
  options.group = group;
  options.kv_group = s.head_size;
  options.ternary = "ternary5";
  const auto found = er::find_recipe(name, options);
  if (!found)
    throw std::invalid_argument(er::quoted(name) + " is for comparison alone: no format packs it");
  return *found;
}

er::matrix_format format_of(const er::recipe& how, const std::string& weight) {
  return llm::format_of(how, weight).value();
}

bool is_embedding(const parameters::entry& e) { return !e.name.starts_with("blk."); }

/// Bits of a code that nothing packs; 0 for other recipes.
std::size_t unpacked_bits(std::string_view recipe) {
  return recipe == "int3" ? 3 : recipe == "int2" ? 2 : 0;
}

}  // namespace

std::string recipe_name(std::string_view name) {
  if (name == "int3" || name == "int2") return std::string{name};
  for (const std::string_view known : er::recipe_names) {
    if (known == "w16") continue;
    if (name == known || (known.starts_with(name) && known.substr(name.size()) == "_a8_kv8"))
      return std::string{known};
  }
  throw std::invalid_argument(
      "no recipe is called " + er::quoted(name) +
      "; there are w4, w2_79, w1_88, w1_58 (each also with _a8_kv8 behind it), int3, int2 "
      "and none");
}

storage storage_of(const shape& s, std::string_view recipe, std::size_t group) {
  const std::size_t bits = unpacked_bits(recipe);
  const er::recipe how = storage_recipe(bits == 0 ? recipe : "w4_a8_kv8", s, group);
  storage sum;
  for (const parameters::entry& e : weight_layout(s)) {
    if (e.is_vector()) continue;
    const std::size_t scales = e.rows * ((e.cols + group - 1) / group);
    const bool packed = bits == 0 || is_embedding(e);
    const std::size_t bytes =
        packed ? er::any_matrix::empty(format_of(how, e.name), e.rows, e.cols).bytes().size()
               : e.size() * bits / 8 + scales * sizeof(er::float16);
    (is_embedding(e) ? sum.embedding_weights : sum.linear_weights) += e.size();
    (is_embedding(e) ? sum.embedding_bytes : sum.linear_bytes) += bytes;
  }
  return sum;
}

namespace {

std::size_t write_model(const parameters& master, const layer_form& form, std::string_view recipe,
                        const llm::vocabulary& words, std::string_view title,
                        const std::filesystem::path& output) {
  if (words.tokens.size() != master.shape().vocabulary) {
    throw std::invalid_argument("the tokenizer has " + std::to_string(words.tokens.size()) +
                                " tokens and the model " +
                                std::to_string(master.shape().vocabulary));
  }
  er::gguf_writer writer;
  writer.set_string("general.name", title);
  writer.set_u32("general.file_type",
                 er::gguf_file_type(recipe == "w16" ? er::ggml_type::f16 : er::ggml_type::i8));
  writer.set_string(llm::recipe_key, recipe);
  llm::add_geometry(writer, geometry_of(master.shape().plain()));
  llm::write_vocabulary(writer, words);

  std::deque<er::any_matrix> matrices;  // the writer refers to them
  const std::vector<weight_entry> stored = weight_layout(master.shape().plain());
  for (std::size_t i = 0; i < master.entries().size(); ++i) {
    const weight_entry& e = master.entries()[i];
    const bool known = std::ranges::any_of(
        stored, [&](const weight_entry& other) { return other.name == e.name; });
    if (!known) continue;  // a part of what is beside it
    if (e.is_vector()) {
      writer.add_tensor(e.name, er::ggml_type::f32, {e.cols},
                        std::as_bytes(master.values().subspan(e.offset, e.cols)));
      continue;
    }
    const er::any_matrix& m = matrices.emplace_back(form.packed(i, master));
    if (m.is_dense()) {
      writer.add_tensor(e.name, er::ggml_type::f16, {e.cols, e.rows}, m.bytes());
    } else {
      er::add_packed(writer, e.name, m.fmt().name(), e.rows, e.cols, m.bytes());
    }
  }
  writer.write(output);
  return std::filesystem::file_size(output);
}

}  // namespace

er::matrix_format storage_format(const shape& s, std::string_view recipe, const std::string& weight,
                                 std::size_t group) {
  return format_of(storage_recipe(recipe, s, group), weight);
}

std::size_t export_model(const parameters& master, const layer_form& form, std::string_view recipe,
                         const llm::vocabulary& words, std::string_view title,
                         const std::filesystem::path& output) {
  return write_model(master, form, recipe, words, title, output);
}

std::size_t export_model(const parameters& master, std::string_view recipe,
                         const llm::vocabulary& words, std::string_view title,
                         const std::filesystem::path& output, std::size_t group) {
  const er::recipe how = storage_recipe(recipe, master.shape(), group);
  training_options options;
  options.how = method::rounding;
  options.recipe = recipe;
  options.group = group;
  return write_model(master, *make_form(master.shape(), options), how.name, words, title, output);
}

}  // namespace qad
