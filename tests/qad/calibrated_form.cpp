// SPDX-License-Identifier: Apache-2.0
/// Students that keep the scales and zeros of a calibrated model.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "qad/calibrated_grid.hpp"
#include "qad/command_line.hpp"
#include "qad/layer_form.hpp"
#include "qad/trained_model.hpp"
#include "small_run.hpp"
#include "small_teacher.hpp"
#include "support/system.hpp"
#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>
#include <edgerazor/io/packed_model.hpp>
#include <edgerazor/matrix/unpack.hpp>

namespace er = edgerazor;

namespace {

/// By the matrix's last name; others have "int4z_g16".
using named_formats = std::map<std::string, std::string, std::less<>>;

er::any_matrix packed_by(const std::string& format, const er::gguf_reader& from,
                         const er::tensor_info& tensor) {
  std::vector<float> values(tensor.rows() * tensor.cols());
  const er::matrix_view<float> view{values.data(), tensor.rows(), tensor.cols()};
  from.read_rows(tensor, {0, tensor.rows()}, view);
  return er::any_matrix::pack(*er::matrix_format::parse(format),
                              er::matrix_view<const float>{view});
}

/// The small teacher with every matrix packed.
void write_packed(const std::filesystem::path& teacher, const std::filesystem::path& path,
                  const named_formats& formats = {}) {
  const er::gguf_reader source = er::gguf_reader::open(teacher);
  er::gguf_writer writer;
  writer.copy_metadata(source);
  std::vector<er::any_matrix> matrices;
  matrices.reserve(source.tensors().size());  // the writer refers to them
  for (const er::tensor_info& tensor : source.tensors()) {
    if (tensor.rows() == 1) {
      writer.copy_tensor(tensor);
      continue;
    }
    const std::string_view whole = tensor.name, stem = whole.substr(0, whole.rfind('.'));
    const auto named = formats.find(stem.substr(stem.rfind('.') + 1));
    matrices.push_back(
        packed_by(named == formats.end() ? "int4z_g16" : named->second, source, tensor));
    er::add_matrix(writer, tensor.name, matrices.back());
  }
  writer.write(path);
}

struct calibrated_files {
  temporary_folder folder;
  std::string teacher = (folder / "teacher.gguf").string(),
              start = (folder / "start.gguf").string(), text = (folder / "text").string();

  explicit calibrated_files(const named_formats& formats = {}) {
    write_small_teacher(teacher);
    write_packed(teacher, start, formats);
    const std::string words = small_text(6000);
    write_bytes(text, std::as_bytes(std::span{words}));
  }
  [[nodiscard]] support::outcome student(const std::vector<std::string>& more) const {
    std::vector<std::string> all{
        "student", "--teacher", teacher, "--text",  text, "--split-block", "200", "--split-every",
        "5",       "--window",  "16",    "--steps", "3",  "--no-features"};
    all.insert(all.end(), more.begin(), more.end());
    return qad::run(all);
  }
};

/// Every kind that there is: a zero, a minimum, neither; of several bits.
const named_formats kinds{{"attn_q", "int4_g16"},    {"attn_k", "int3z_g16"},
                          {"attn_v", "int8_g16"},    {"ffn_up", "int4m_g16"},
                          {"ffn_gate", "int2z_g16"}, {"ffn_down", "int5z_g16_f32"}};

struct kept_grids {
  calibrated_files files{kinds};
  qad::teacher_model start = qad::open_teacher(files.start);
  qad::parameters master{*start.weights}, out{start.options.model};
  std::unique_ptr<const qad::layer_form> form;

  kept_grids() {
    qad::training_options options;
    options.how = qad::method::qad;
    options.recipe = qad::calibrated_recipe;
    options.grids = qad::read_grids(files.start, start.options.model);
    form = qad::make_form(start.options.model, options);
  }
  void apply() {
    for (std::size_t i = 0; i < master.entries().size(); ++i) form->apply(i, master, out, 0);
  }
};

}  // namespace

TEST_CASE("a calibrated model is its own rounding, and its own export, bit for bit") {
  kept_grids made;
  made.apply();
  CHECK(std::ranges::equal(made.out.values(), made.master.values()));
  const er::gguf_reader file = er::gguf_reader::open(made.files.start);
  const er::packed_tensors there(file);
  std::size_t seen = 0;
  for (std::size_t i = 0; i < made.master.entries().size(); ++i) {
    const qad::weight_entry& e = made.master.entries()[i];
    if (e.is_vector()) continue;
    CAPTURE(e.name);
    const er::any_matrix again = made.form->packed(i, made.master);
    const er::packed_tensor* const before = there.find(e.name);
    REQUIRE(before);
    CHECK(again.fmt().name() == before->format);
    CHECK(std::ranges::equal(again.bytes(), before->bytes));
    ++seen;
  }
  CHECK(seen == 2 + 2 * 7);
}

TEST_CASE(
    "a student starts as the calibrated model, its weights as near the teacher's as codes let") {
  kept_grids made;
  const qad::parameters before = made.master;
  const qad::teacher_model file = qad::open_teacher(made.files.teacher);
  const qad::parameters teacher(*file.weights);
  made.form->start(made.master, *file.weights);
  made.apply();
  CHECK(std::ranges::equal(made.out.values(), before.values()));
  std::size_t moved = 0, farther = 0;
  double left = 0, all = 0;
  for (std::size_t i = 0; i < before.values().size(); ++i) {
    const float was = std::fabs(before.values()[i] - teacher.values()[i]),
                is = std::fabs(made.master.values()[i] - teacher.values()[i]);
    moved += made.master.values()[i] != before.values()[i];
    farther += is > was;
    left += static_cast<double>(is), all += static_cast<double>(was);
  }
  CHECK(moved > before.values().size() / 2);
  CHECK(farther == 0);
  // Of errors of nearest codes, even in [-1/2, 1/2] of the scale, 1/64 is left where 1/4 was; of
  // what lies outside the codes more is.
  CHECK(left < 0.2 * all);

  // Whose columns were scaled starts as it is.
  qad::parameters scaled = before;
  scaled.view("blk.1.ffn_norm.weight").row(0)[3] = 2;
  const qad::parameters kept = scaled;
  made.form->start(scaled, *file.weights);
  CHECK(std::ranges::equal(scaled.values(), kept.values()));
}

TEST_CASE("weights move from code to code, scales and zeros stay, and the export has the codes") {
  kept_grids made;
  for (std::size_t i = 0; i < made.master.values().size(); ++i)
    made.master.values()[i] += 0.3f * std::sin(static_cast<float>(i % 1013));
  made.apply();
  std::size_t moved = 0;
  for (std::size_t i = 0; i < made.master.entries().size(); ++i) {
    const qad::weight_entry& e = made.master.entries()[i];
    CAPTURE(e.name);
    const auto now = made.out.view(e);
    if (e.is_vector()) {
      CHECK(std::ranges::equal(now.row(0), made.master.view(e).row(0)));
      continue;
    }
    const er::any_matrix stored = made.form->packed(i, made.master);
    const er::matrix_part part = stored.part();
    const er::packed_view& codes = *part.packed();
    std::vector<float> values(e.size());
    er::dequantize(codes, {values.data(), e.rows, e.cols});
    CHECK(std::ranges::equal(values, made.out.values().subspan(e.offset, e.size())));
    // Against the definition, in double: no code of the group is nearer.
    const er::format& fmt = codes.layout().fmt();
    for (std::size_t r = 0; r < e.rows; r += 3) {
      for (std::size_t c = 0; c < e.cols; ++c) {
        const auto w = static_cast<double>(made.master.view(e).row(r)[c]),
                   is = static_cast<double>(now.row(r)[c]),
                   scale = std::fabs(static_cast<double>(er::scale_at(codes, r, c / 16)));
        moved += is != static_cast<double>(w);
        const er::codec_info& codec = er::codec_of(fmt.code);
        const double zero = fmt.zero == er::zero_kind::none
                                ? 0
                                : static_cast<double>(er::zero_at(codes, r, c / 16));
        double low = codec.min_level * scale, high = codec.max_level() * scale;
        if (fmt.zero == er::zero_kind::point)
          low = -zero * scale, high = (codec.largest_code() - zero) * scale;
        if (fmt.zero == er::zero_kind::minimum)
          low = zero, high = zero + codec.largest_code() * scale;
        const double nearest = std::clamp(w, std::min(low, high), std::max(low, high));
        CHECK(std::fabs(nearest - is) <= 0.5001 * scale + 1e-6);
      }
    }
  }
  CHECK(moved > 1000);
}

TEST_CASE("a student of a calibrated model trains, is measured and exported") {
  const calibrated_files files(kinds);
  const std::string run = (files.folder / "run").string(),
                    out = (files.folder / "out.gguf").string();
  const std::vector<std::string> options{"--folder", run,         "--recipe",        "calibrated",
                                         "--start",  files.start, "--learning-rate", "0.05",
                                         "--seed",   "3"};
  CHECK(files.student(options).message.empty());
  CHECK(files.student(options).message.empty());  // finished: nothing is done again
  CHECK(qad::run({"evaluate", run}).code == 0);
  REQUIRE(qad::run({"export", run, "--output", out}).code == 0);
  const er::gguf_reader before = er::gguf_reader::open(files.start),
                        after = er::gguf_reader::open(out);
  CHECK(after.get_string("edgerazor.recipe") == "calibrated");
  const er::packed_tensors was(before), is(after);
  std::size_t other = 0;
  for (const er::packed_tensor& one : was.all()) {
    CAPTURE(std::string{one.name});
    const er::packed_tensor* const found = is.find(one.name);
    REQUIRE(found);
    CHECK(found->format == one.format);
    other += !std::ranges::equal(found->bytes, one.bytes);
  }
  CHECK(other > 10);

  // The scales are those of the start: another file in its place is told.
  write_small_teacher(files.start);
  const std::string told = qad::run({"export", run, "--output", out}).message;
  CHECK(told.find("is not the model any more that the run started from") != std::string::npos);
}

TEST_CASE("what has no scales to keep is refused by name, before anything is written") {
  const auto refused = [](const named_formats& formats, bool start = true) {
    const calibrated_files files(formats);
    const std::string run = (files.folder / "run").string();
    std::vector<std::string> options{"--folder", run, "--recipe", "calibrated"};
    if (start) options.insert(options.end(), {"--start", files.start});
    const support::outcome end = files.student(options);
    CHECK(end.code != 0);
    CHECK_FALSE(std::filesystem::exists(run));
    return end.message;
  };
  CHECK(refused({}, false).find("--start") != std::string::npos);
  for (const char* const format : {"f16", "table2_g16", "int4z_row", "binary_g16"}) {
    CAPTURE(format);
    const std::string told = refused({{"ffn_up", format}});
    CHECK(told.find("'blk.0.ffn_up.weight' is " + std::string{format}) != std::string::npos);
    CHECK(told.find("expected codes with a scale for each group of columns") != std::string::npos);
  }
  CHECK(refused({{"ffn_up", "int4_g32"}}).find("'blk.0.ffn_up.weight' has groups of 32 columns") !=
        std::string::npos);
}
