// SPDX-License-Identifier: Apache-2.0
// libFuzzer on everything a host does with a GGUF file it was given: parse, read all metadata,
// decode, load, import, write a copy. A file is refused with io_error or understood; anything else
// is a finding.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzzing.hpp"
#include <edgerazor/io/gguf_export.hpp>
#include <edgerazor/io/gguf_import.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/product/gemv.hpp>

namespace er = edgerazor;

namespace {

void read_metadata(const er::gguf_reader& reader) {
  for (const er::metadata_entry& entry : reader.entries()) {
    require(reader.find_entry(entry.key) == &entry);
    try_to([&] { (void)reader.get_u32(entry.key); });
    try_to([&] { (void)reader.get_i64(entry.key); });
    try_to([&] { (void)reader.get_f32(entry.key); });
    try_to([&] { (void)reader.get_bool(entry.key); });
    try_to([&] { (void)std::string{reader.get_string(entry.key)}; });
    try_to([&] { (void)reader.get_i32s(entry.key); });
    try_to([&] { (void)reader.get_f32s(entry.key); });
    try_to([&] {
      for (const std::string_view text : reader.get_strings(entry.key)) (void)std::string{text};
    });
  }
}

void read_tensors(const er::gguf_reader& reader) {
  std::vector<float> values;
  for (const er::tensor_info& tensor : reader.tensors()) {
    require(reader.find(tensor.name) == &tensor);
    const std::size_t tail = tensor.rows() == 0 ? 0 : er::info_of(tensor.type).tail_bytes;
    require(tensor.bytes.size() == tensor.rows() * tensor.row_bytes() + tail);
    (void)reader.is_scale(tensor);
    values.resize(tensor.rows() == 0 ? 0 : tensor.cols());
    // The first rows and the last are enough to leave the bounds.
    for (std::size_t r = 0; r < std::min<std::size_t>(tensor.rows(), 4); ++r) {
      for (const std::size_t row : {r, tensor.rows() - 1 - r}) {
        try_to(
            [&] { reader.read_rows(tensor, {row, row + 1}, {values.data(), 1, values.size()}); });
      }
    }
    try_to([&] { reader.validate(tensor); });
    try_to([&] { (void)er::load_matrix(reader, tensor); });
    try_to([&] { (void)er::import_matrix(reader, tensor); });
  }
}

void read_packed(const er::gguf_reader& reader) {
  const er::packed_tensors packed(reader);
  for (const er::packed_tensor& tensor : packed.all()) {
    require(packed.find(tensor.name) == &tensor);
    try_to([&] {
      const er::any_matrix matrix = er::load_matrix(tensor);
      er::detail::io::level_rows row(matrix);
      row.read(0);
      row.read(matrix.rows() - 1);
      if (matrix.rows() * matrix.cols() > 1 << 16) return;
      std::vector<float> x(matrix.cols(), 1.0f), y(matrix.rows());
      er::gemv(matrix, std::span<const float>{x}, std::span<float>{y});
    });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string error;
  const auto reader = er::gguf_reader::try_parse(std::as_bytes(std::span{data, size}), error);
  require(reader.has_value() == error.empty());
  if (!reader) return 0;
  read_metadata(*reader);
  read_tensors(*reader);
  try_to([&] { read_packed(*reader); });
  er::gguf_writer writer;
  writer.copy_metadata(*reader);
  for (const er::tensor_info& tensor : reader->tensors()) writer.copy_tensor(tensor);
  return 0;
}
