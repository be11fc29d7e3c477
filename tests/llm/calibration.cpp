// SPDX-License-Identifier: Apache-2.0
#include "llm/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "llm/calibration_report.hpp"
#include "llm/calibration_text.hpp"
#include "llm/default_text.hpp"
#include "llm/demo_model.hpp"
#include "llm/matrix_rounding.hpp"
#include "llm/quality.hpp"
#include "llm/temporary_folder.hpp"
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

namespace {

struct demo {
  llm::temporary_folder folder{{}};
  llm::thread_pool threads{2};
  std::filesystem::path path = folder.path() / "demo.gguf";

  demo() { llm::make_demo_model(path); }
  [[nodiscard]] llm::calibration calibrate(const std::string& method, double bits,
                                           const std::string& output) {
    llm::calibrate_options options;
    options.method = method;
    options.bits = bits;
    options.windows = 4;
    options.window = 128;
    const llm::model_file file(path);
    return llm::calibrate_model(file, options, folder.path() / output, threads, known);
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
         {"rtn", "mse", "hqq", "gptq", "refined", "awq", "spqr", "auto"}) {
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
    CHECK(!std::filesystem::exists(made.folder.path() / "m"));
    const double least = std::stod(message.substr(message.find("take: ") + 6));
    CHECK(made.calibrate("auto", least + 0.01, "m").bits_per_weight() <= least + 0.01);
    CHECK_THROWS_WITH_AS((void)made.calibrate("best", 4, "m"),
                         "no method is called 'best'; there are rtn, mse, gptq, refined, awq, hqq, "
                         "spqr and auto",
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
    const llm::rounded got = llm::round_matrix(w, fmt, llm::method_by_name("mse"), input, threads);
    const llm::rounded whole = llm::method_by_name("mse").round(
        er::matrix_view<const float>{values.data(), rows, cols}, fmt, input, threads);
    CHECK(std::ranges::equal(got.matrix.bytes(), whole.matrix.bytes()));
    CHECK(got.error == doctest::Approx(whole.error).epsilon(1e-9));
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
