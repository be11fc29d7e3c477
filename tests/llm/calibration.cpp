// SPDX-License-Identifier: Apache-2.0
#include "llm/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "llm/calibration_report.hpp"
#include "llm/calibration_text.hpp"
#include "llm/default_text.hpp"
#include "llm/demo_model.hpp"
#include "llm/matrix_rounding.hpp"
#include "llm/quality.hpp"
#include "llm/temporary_folder.hpp"
#include <edgerazor/io/safetensors_writer.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

namespace {

/// Narrow, because calibration takes the third power of it.
constexpr std::size_t width = 256;

struct demo {
  llm::temporary_folder folder{{}};
  llm::thread_pool threads{2};
  std::filesystem::path path = folder.path() / "demo.gguf";

  demo() { llm::make_demo_model(path, width); }
  [[nodiscard]] llm::calibration calibrate(const std::string& method, double bits,
                                           const std::string& output,
                                           const std::string& gradients = "", bool rotate = false) {
    llm::calibrate_options options;
    options.rotate = rotate;
    options.method = method;
    options.gradients = gradients;
    options.bits = bits;
    options.windows = 4;
    options.window = 128;
    const llm::model_file file(path);
    return llm::calibrate_model(file, options, folder.path() / output, threads, known);
  }
  /// A file of gradients: value(name, row, column) for each matrix of a layer.
  template <class Value>
  [[nodiscard]] std::string write_gradients(const std::string& name, const Value& value) {
    const llm::model_file file(path);
    llm::model weights = file.load(er::recipe{}, threads);
    er::safetensors_writer writer;
    for (const llm::matrix_place& place : llm::places_of(weights)) {
      if (place.layer == llm::matrix_place::no_layer) continue;
      const std::size_t rows = place.matrix->rows(), cols = place.matrix->cols();
      std::vector<float> values(rows * cols);
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = value(place.name, i / cols, i % cols);
      writer.add(place.name, er::safetensors_dtype::f32, {rows, cols},
                 [values = std::move(values)](er::tensor_sink& sink) {
                   sink.write(std::as_bytes(std::span{values}));
                 });
    }
    writer.write(folder.path() / name);
    return (folder.path() / name).string();
  }
  /// The sparse parts of a calibrated model's layers, by matrix; null where it has none.
  [[nodiscard]] static std::vector<const er::matrix_sum::part*> sparse_parts(llm::model& model) {
    std::vector<const er::matrix_sum::part*> result;
    for (const llm::matrix_place& place : llm::places_of(model)) {
      if (place.layer == llm::matrix_place::no_layer) continue;
      result.push_back(place.matrix->sum() ? &place.matrix->sum()->parts()[1] : nullptr);
    }
    return result;
  }
  /// KL of a calibrated model to the demo model.
  [[nodiscard]] double divergence(const std::string& output) {
    std::vector<llm::model> models;
    const llm::model_file file(path);
    models.push_back(file.load(er::recipe{}, threads));
    models.push_back(llm::model_file(folder.path() / output).load(er::recipe{}, threads));
    const auto text = file.read_tokenizer().encode(llm::default_text.substr(0, 3000),
                                                   llm::tokenizer::markup::plain, false);
    return llm::measure_quality(models, text, 128, std::nullopt, threads, er::best_kernel())[1]
        .divergence;
  }

  llm::known_sensitivity known;
};

}  // namespace

TEST_SUITE("calibration") {
  TEST_CASE("every method keeps the budget, and its file is a model that runs") {
    demo made;
    std::map<std::string, double> errors;
    for (const std::string method :
         {"rtn", "mse", "hqq", "gptq", "refined", "awq", "spqr", "slim", "quarot", "auto"}) {
      CAPTURE(method);
      const llm::calibration done = made.calibrate(method, 5, method);
      CHECK(done.bits_per_weight() <= 5);
      CHECK(done.file_bytes == std::filesystem::file_size(made.folder.path() / method));
      CHECK(done.matrices.size() == 2 + 7 * llm::model_file(made.path).shape.layers);
      for (const llm::calibrated_matrix& one : done.matrices) {
        CAPTURE(one.name);
        CHECK(one.energy > 0);
        CHECK(one.error >= 0);  // the embedding's values are -1 and 1, and stay so
        CHECK(one.relative_error() < 0.5);
        if (one.layer == llm::matrix_place::no_layer) continue;
        CHECK((one.sensitivity > 0) == (method == "auto"));
        errors[method] += one.relative_error();
      }
      const double cost = made.divergence(method);
      CAPTURE(cost);
      CHECK(cost > 0);
    }
    // One format for all, so that only the way of choosing levels differs.
    CHECK(errors["gptq"] < errors["mse"]);
    CHECK(errors["refined"] < errors["gptq"]);
  }

  TEST_CASE(
      "rotated matrices are what they were, by quarot and by others that are told to rotate") {
    demo made;
    const std::string gradients = made.write_gradients(
        "g",
        [](const std::string&, std::size_t row, std::size_t) { return row % 16 == 3 ? 1 : 0.1f; });
    const std::vector<std::pair<std::string, std::string>> rotating{
        {"quarot", ""}, {"spqr", ""}, {"auto", gradients}};
    llm::model before = llm::model_file(made.path).load(er::recipe{}, made.threads);
    const std::vector<llm::matrix_place> places = llm::places_of(before);
    for (const auto& one : rotating) {
      const std::string &method = one.first, &of_rows = one.second;
      CAPTURE(method);
      const llm::calibration done = made.calibrate(method, 5, "m", of_rows, method != "quarot");
      CHECK(done.bits_per_weight() <= 5);
      llm::model after = llm::model_file(made.folder.path() / "m").load(er::recipe{}, made.threads);
      for (std::size_t i = 0; i < places.size(); ++i) {
        CAPTURE(places[i].name);
        const er::any_matrix &was = *places[i].matrix, &is = *llm::places_of(after)[i].matrix;
        CAPTURE(done.matrices[i].format);
        CHECK(done.matrices[i].format.find("rotated_256(") != std::string::npos);
        REQUIRE(is.sum());
        double error = 0, energy = 0;
        std::vector<float> x(width), y(width);
        for (std::size_t r = 0; r < was.rows(); r += 5) {
          er::look_up_row(was, r, x);
          er::look_up_row(is, r, y);
          for (std::size_t c = 0; c < width; ++c) {
            error += std::pow(static_cast<double>(x[c]) - static_cast<double>(y[c]), 2);
            energy += std::pow(static_cast<double>(x[c]), 2);
          }
        }
        // Rounding to 4 bits is an error of about a hundredth, to 2 of a seventh; rows in another
        // order, or rotated once only, would be one of 2.
        CHECK(error > 0);
        CHECK(error < 0.3 * energy);
      }
    }
    for (const std::string method : {"awq", "slim", "tacq"}) {
      CAPTURE(method);
      CHECK_THROWS_WITH_AS(
          (void)made.calibrate(method, 5, "m", gradients, true),
          ("--rotate: the method " + method + " goes by columns or weights as they are").c_str(),
          std::invalid_argument);
    }
  }

  TEST_CASE("SLiM's layers have two weights of four, and thin matrices beside them") {
    demo made;
    const llm::calibration done = made.calibrate("slim", 6, "m");
    llm::model model = llm::model_file(made.folder.path() / "m").load(er::recipe{}, made.threads);
    const std::vector<llm::matrix_place> places = llm::places_of(model);
    for (std::size_t i = 0; i < places.size(); ++i) {
      CAPTURE(places[i].name);
      const bool in_layer = places[i].layer != llm::matrix_place::no_layer;
      CHECK(done.matrices[i].method == (in_layer ? "slim" : "refined"));
      if (!in_layer) continue;
      const er::any_matrix& matrix = *places[i].matrix;
      CHECK(done.matrices[i].format == "int4_row+low_rank_" +
                                           std::to_string(llm::low_rank_of(matrix.rows(), width)) +
                                           "(int4_row*int4_g128)");
      REQUIRE(matrix.sum());
      const auto base = er::packed_view(*matrix.sum()->parts()[0].matrix.packed());
      std::vector<float> row(width);
      std::size_t wrong = 0, kept = 0;
      for (std::size_t r = 0; r < base.rows(); ++r) {
        er::look_up_row(base, r, row);
        for (std::size_t c = 0; c < width; c += 4) {
          const auto zeros = std::ranges::count(std::span{row}.subspan(c, 4), 0.0f);
          wrong += zeros < 2, kept += zeros == 2;
        }
      }
      CHECK(wrong == 0);
      CHECK(kept > base.rows() * width / 8);  // half of the groups, of four weights
    }
  }

  TEST_CASE("SpQR keeps weights beside its codes, no more than there is room for") {
    demo made;
    const llm::calibration done = made.calibrate("spqr", 5, "m");
    const llm::model_file file(made.folder.path() / "m");
    const llm::model model = file.load(er::recipe{}, made.threads);
    std::size_t kept = 0;
    for (const er::any_matrix* matrix : model.layers[0].matrices()) {
      CAPTURE(matrix->fmt().name());
      REQUIRE(matrix->sum());
      REQUIRE(matrix->sum()->parts().size() == 2);
      const er::matrix_part& sparse = matrix->sum()->parts()[1].matrix;
      CHECK(sparse.bytes().size() <= llm::sparse_bytes(matrix->rows(), matrix->cols()));
      kept += sparse.bytes().size();
    }
    CHECK(kept > 0);
    for (const llm::calibrated_matrix& one : done.matrices) {
      CAPTURE(one.name);
      // The embedding's values are -1 and 1: it needs none.
      const bool whole = one.format == "int4z_g16_q3";
      CHECK((whole || one.format.ends_with("z_g16_q3+sparse")));
      CHECK((!whole || one.layer == llm::matrix_place::no_layer));
    }
  }

  TEST_CASE("TaCQ keeps the weights that gradients name, wherever they are") {
    demo made;
    // One weight a row of a single matrix: its sparse part has a step a tile, and no other exists.
    const auto named = [](std::size_t row) { return row * 7 % width; };
    const std::string gradients =
        made.write_gradients("g", [&](const std::string& name, std::size_t row, std::size_t col) {
          return name == "blk.1.ffn_down.weight" && col == named(row) ? 1.0f : 0.0f;
        });
    const llm::calibration done = made.calibrate("tacq", 5, "m", gradients);
    CHECK(done.bits_per_weight() <= 5);
    llm::model model = llm::model_file(made.folder.path() / "m").load(er::recipe{}, made.threads);
    const auto parts = demo::sparse_parts(model);
    REQUIRE(parts.size() == 14);
    for (std::size_t i = 0; i < parts.size(); ++i) CHECK((parts[i] != nullptr) == (i == 13));
    const er::sparse_view kept =
        er::sparse_view::from_bytes(width, width, parts[13]->matrix.bytes());
    for (std::size_t tile = 0; tile < kept.tiles(); ++tile) {
      REQUIRE(kept.steps(tile).size() == 1);
      for (std::size_t r = 0; r < er::tile_rows; ++r)
        CHECK(kept.steps(tile)[0].columns[r] == named(tile * er::tile_rows + r));
    }
    CHECK(done.matrices.back().format.ends_with("z_g64+sparse"));
    CHECK(made.divergence("m") > 0);
  }

  TEST_CASE("TaCQ takes the room there is, and none that is not") {
    demo made;
    const std::string gradients =
        made.write_gradients("g", [](const std::string& name, std::size_t row, std::size_t col) {
          const auto x = static_cast<double>(row * 517 + col * 31 % 509);
          return static_cast<float>(1.5 + std::sin(x)) * (name.starts_with("blk.0") ? 4.0f : 1.0f);
        });
    const llm::calibration done = made.calibrate("tacq", 5, "m", gradients);
    CHECK(done.bits_per_weight() <= 5);
    CHECK(done.file_bytes == std::filesystem::file_size(made.folder.path() / "m"));
    llm::model model = llm::model_file(made.folder.path() / "m").load(er::recipe{}, made.threads);
    const auto parts = demo::sparse_parts(model);
    std::size_t steps = 0, room = 0, first = 0, at = 0;
    for (const llm::matrix_place& place : llm::places_of(model)) {
      if (place.layer == llm::matrix_place::no_layer) continue;
      const std::size_t rows = place.matrix->rows(), cols = place.matrix->cols();
      room += llm::sparse_room(rows, cols);
      const er::matrix_sum::part* const part = parts[at++];
      if (part == nullptr) continue;
      const er::sparse_view kept = er::sparse_view::from_bytes(rows, cols, part->matrix.bytes());
      const std::size_t bytes = kept.bytes().size() - er::sparse_view::header_bytes(kept.tiles());
      steps += bytes / sizeof(er::sparse_step);
      if (place.layer == 0) first += bytes / sizeof(er::sparse_step);
    }
    // Scores that equal the first one left out are left out, and entries that fp16 makes 0: few.
    CHECK(steps <= room);
    CHECK(steps >= room - room / 50);
    CHECK(first >
          2 * (steps - first));  // the layer whose gradients are larger has the others' room
  }

  TEST_CASE("AWQ's scales are folded into what comes before: the model computes what it did") {
    demo made;
    llm::model model = llm::model_file(made.path).load(er::recipe{}, made.threads);
    const llm::model_file file(made.path);
    const llm::token_windows text =
        llm::cut_windows(file.read_tokenizer().encode(llm::default_text.substr(0, 600),
                                                      llm::tokenizer::markup::plain, false),
                         1, 32, std::nullopt);
    const auto states = [&] {
      llm::layer_walk walk(model, made.threads, text, er::best_kernel());
      for (std::size_t i = 0; i < model.layers.size(); ++i) walk.pass(i);
      return walk.stream();
    };
    const std::vector<float> before = states();
    std::vector<float> s(width);
    for (std::size_t c = 0; c < s.size(); ++c)
      s[c] = std::exp(std::sin(static_cast<float>(c * c % 977)));
    for (llm::layer& one : model.layers) {
      using enum llm::layer_input;
      for (const llm::layer_input which : {attention, ffn, down})
        llm::fold_column_scales(one, which, s, made.threads);
    }
    const std::vector<float> after = states();
    double differences = 0, squares = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      differences += std::pow(static_cast<double>(after[i]) - static_cast<double>(before[i]), 2);
      squares += std::pow(static_cast<double>(before[i]), 2);
    }
    // A scaled weight and norm round once each, by 2^-24 of themselves, and sums of 256 in another
    // order by sqrt(256) of it: near 1e-6 of what the layers add, which is less than the stream.
    const double relative = std::sqrt(differences / squares);
    CAPTURE(relative);
    CHECK(relative < 1e-5);
    CHECK(relative > 0);  // something was scaled
  }

  TEST_CASE("gradients that are not of the model are refused by name") {
    demo made;
    const auto refused = [&](const std::string& gradients) {
      try {
        (void)made.calibrate("tacq", 5, "m", gradients);
      } catch (const std::exception& error) {
        return std::string{error.what()};
      }
      return std::string{"nothing"};
    };
    const auto one_is = [&](float bad) {
      return made.write_gradients("g", [&](const std::string& name, std::size_t row, std::size_t) {
        return name == "blk.1.attn_v.weight" && row == 3 ? bad : 1.0f;
      });
    };
    CHECK(refused("") ==
          "--method tacq needs --gradients FILE, which `qad gradients --model MODEL --output FILE` "
          "writes");
    CHECK(refused((made.folder.path() / "none").string()).find("none") != std::string::npos);
    CHECK(refused(one_is(-1))
              .ends_with("/g': the gradients of 'blk.1.attn_v.weight' have a negative number, "
                         "expected sums of magnitudes"));
    for (const float bad : {std::nanf(""), HUGE_VALF}) {
      CHECK(refused(one_is(bad))
                .ends_with("/g': the gradients of 'blk.1.attn_v.weight' have a NaN or an infinity, "
                           "expected sums of magnitudes"));
    }
    const auto write = [&](const er::safetensors_dtype type, std::size_t rows, std::size_t cols) {
      er::safetensors_writer writer;
      const std::vector<std::byte> zeros(rows * cols * 4);
      writer.add("blk.0.attn_q.weight", type, {rows, cols}, zeros);
      writer.write(made.folder.path() / "g");
      return (made.folder.path() / "g").string();
    };
    const std::string expected =
        "/g' has no gradients of this model: of 'blk.0.attn_q.weight' floats of [256, 256] are "
        "expected, there are ";
    CHECK(
        refused(write(er::safetensors_dtype::f32, 128, 256)).ends_with(expected + "F32[128, 256]"));
    CHECK(
        refused(write(er::safetensors_dtype::i32, 256, 256)).ends_with(expected + "I32[256, 256]"));
    CHECK(refused(write(er::safetensors_dtype::f32, width, width))
              .ends_with("of 'blk.0.attn_k.weight' floats of [128, 256] are expected, there are "
                         "none"));
    CHECK(!std::filesystem::exists(made.folder.path() / "m"));
  }

  TEST_CASE("auto gives rows that gradients name more bits, and they stay where they are") {
    demo made;
    const std::string name = "blk.1.ffn_down.weight";
    const auto is_named = [](std::size_t row) { return row * 5 % 13 == 3; };
    const std::string gradients =
        made.write_gradients("g", [&](const std::string& of, std::size_t row, std::size_t) {
          return of == name && is_named(row) ? 100.0f : 1.0f;
        });
    const llm::calibration done = made.calibrate("auto", 4.5, "m", gradients);
    CHECK(done.bits_per_weight() <= 4.5);
    CHECK(done.file_bytes == std::filesystem::file_size(made.folder.path() / "m"));
    llm::model before = llm::model_file(made.path).load(er::recipe{}, made.threads);
    llm::model after = llm::model_file(made.folder.path() / "m").load(er::recipe{}, made.threads);
    const auto places = llm::places_of(before), changed = llm::places_of(after);
    std::size_t mixed_ones = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      CAPTURE(places[i].name);
      const er::any_matrix &w = *places[i].matrix, &q = *changed[i].matrix;
      CHECK(done.matrices[i].format == q.fmt().name());
      CHECK(done.matrices[i].bytes == q.bytes().size());
      mixed_ones += q.mixed() != nullptr ? 1 : 0;
      if (places[i].layer == llm::matrix_place::no_layer) continue;
      // Rows in another's place would differ by twice their squares, and 2 bits do by a quarter.
      std::vector<float> own(w.cols()), got(w.cols());
      double error = 0, energy = 0;
      for (std::size_t r = 0; r < w.rows(); ++r) {
        er::look_up_row(w, r, own);
        er::look_up_row(q, r, got);
        for (std::size_t c = 0; c < own.size(); ++c) {
          error += std::pow(static_cast<double>(own[c]) - static_cast<double>(got[c]), 2);
          energy += std::pow(static_cast<double>(own[c]), 2);
        }
      }
      CHECK(error < 0.5 * energy);
      if (places[i].name != name) continue;
      REQUIRE(q.mixed());
      CHECK(er::codec_of(q.mixed()->high().code).largest_code() >
            er::codec_of(q.mixed()->low().code).largest_code());
      // The named are first of all: either all of them are among the rows of more bits, or none
      // but them.
      std::size_t named = 0, both = 0, high = 0;
      for (std::size_t r = 0; r < w.rows(); ++r) named += is_named(r) ? 1 : 0;
      for (const er::mixed_matrix::segment& part : q.mixed()->segments()) {
        if (!part.high) continue;
        high += part.rows.size();
        for (const std::uint32_t r : part.rows) both += is_named(r) ? 1 : 0;
      }
      CHECK(high > 0);
      CHECK(both == std::min(named, high));
    }
    CHECK(mixed_ones > 0);
    CHECK(made.divergence("m") > 0);
  }

  TEST_CASE("more bits cost fewer nats") {
    demo made;
    double last = 1e9;
    for (const double bits : {4.0, 5.0, 7.0}) {
      CAPTURE(bits);
      const llm::calibration done = made.calibrate("auto", bits, "m");
      CHECK(done.bits_per_weight() <= bits);
      CHECK(done.bits_per_weight() > bits - 1);
      const double cost = made.divergence("m");
      CHECK(cost < last);
      last = cost;
    }
  }

  TEST_CASE("a budget that nothing fits is refused with the least that would") {
    demo made;
    std::string message;
    try {
      (void)made.calibrate("auto", 1, "m");
    } catch (const std::invalid_argument& error) {
      message = error.what();
    }
    CHECK(message.starts_with("--bits 1.00 is less than the smallest formats take: "));
    CHECK(!made.known);  // before minutes of measuring
    CHECK(!std::filesystem::exists(made.folder.path() / "m"));
    const double least = std::stod(message.substr(message.find("take: ") + 6));
    CHECK(made.calibrate("auto", least + 0.01, "m").bits_per_weight() <= least + 0.01);
    CHECK_THROWS_WITH_AS((void)made.calibrate("best", 4, "m"),
                         "no method is called 'best'; there are rtn, mse, gptq, refined, awq, hqq, "
                         "spqr, tacq, slim, quarot and auto",
                         std::invalid_argument);
  }

  TEST_CASE("a matrix of many rows is rounded in blocks, to the bytes of one piece") {
    llm::thread_pool threads(2);
    const std::size_t rows = 33000, cols = 64;
    std::vector<float> values(rows * cols);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = std::sin(static_cast<float>(i * 7 % 1000));
    er::matrix_format real;
    const er::any_matrix w =
        er::any_matrix::pack(real, er::matrix_view<const float>{values.data(), rows, cols});
    std::vector<float> x(100 * cols);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::cos(static_cast<float>(i * i % 977));
    er::second_moments moments(cols);
    er::column_statistics columns(cols);
    moments.add({x.data(), 100, cols});
    columns.add({x.data(), 100, cols});
    const llm::shared_input input(std::move(moments), std::move(columns));
    const er::format fmt = er::format::parse("int4z_g64").value();
    const llm::rounded got =
        llm::round_matrix(w, {fmt}, llm::method_by_name("mse"), input, threads);
    const llm::rounded whole = llm::method_by_name("mse").round(
        {er::matrix_view<const float>{values.data(), rows, cols}, fmt, input, threads});
    CHECK(std::ranges::equal(got.matrix.bytes(), whole.matrix.bytes()));
    CHECK(got.error == doctest::Approx(whole.error).epsilon(1e-9));

    // Of two formats every row is what it is where all rows have its own.
    const er::format less = er::format::parse("int2z_g64").value();
    llm::row_formats both{fmt, less};
    for (std::size_t r = 0; r < rows; ++r) both.rows.push_back(r * r % 7 < 3 ? 1 : 0);
    const llm::rounded mixed =
        llm::round_matrix(w, both, llm::method_by_name("mse"), input, threads);
    const llm::rounded small_one =
        llm::round_matrix(w, {less}, llm::method_by_name("mse"), input, threads);
    CHECK(mixed.matrix.fmt().name() == "int4z_g64+int2z_g64");
    std::vector<float> row(cols), expected(cols);
    std::size_t different = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      er::look_up_row(mixed.matrix, r, row);
      er::look_up_row(both.rows[r] != 0 ? got.matrix : small_one.matrix, r, expected);
      different += row == expected ? 0 : 1;
    }
    CHECK(different == 0);
    CHECK(mixed.error > got.error);
    CHECK(mixed.error < small_one.error);
  }

  TEST_CASE("the built-in texts differ") {
    const std::string text = llm::calibration_text_of("");
    CHECK(text.size() > 50000);
    for (std::size_t at = 0; at + 40 < llm::default_text.size(); at += 40)
      CHECK(text.find(llm::default_text.substr(at, 40)) == std::string::npos);
  }

  TEST_CASE("the picture has a dot a plot for every matrix of a layer") {
    llm::calibration done;
    for (std::size_t layer = 0; layer < 3; ++layer) {
      for (const char* role :
           {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
        done.matrices.push_back({"blk." + std::to_string(layer) + "." + role + ".weight", layer,
                                 "int4_g64", "gptq", 1000, 531, 0.1, 1, 100});
      }
    }
    done.matrices.push_back({"token_embd.weight", llm::matrix_place::no_layer, "int6_g64", "gptq",
                             1000, 781, 0.1, 1, 100});
    const std::string svg = llm::calibration_picture(done, "a < b & c");
    std::size_t dots = 0;
    for (std::size_t at = 0; (at = svg.find("r=\"3\"", at)) != std::string::npos; ++at) ++dots;
    CHECK(dots == 2 * 21);
    CHECK(svg.find("a &lt; b &amp; c") != std::string::npos);
    CHECK(svg.find("nan") == std::string::npos);
  }
}
