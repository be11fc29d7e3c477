// SPDX-License-Identifier: Apache-2.0
#include "llm/off_grid.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "llm/default_text.hpp"
#include "llm/demo_model.hpp"
#include "llm/options.hpp"
#include "llm/quality.hpp"
#include "llm/temporary_folder.hpp"
#include <edgerazor/io/gguf_reader.hpp>

namespace er = edgerazor;

TEST_SUITE("off_grid") {
  std::string bytes_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TEST_CASE("the same function, with other weights in every matrix of a layer") {
    const llm::temporary_folder folder{{}};
    const auto before = folder.path() / "before.gguf", after = folder.path() / "after.gguf";
    llm::make_demo_model(before);
    const llm::model_file input(before);
    llm::write_off_grid(input, 7, after);
    const llm::model_file output(after);
    output.require_complete();

    llm::thread_pool threads(2);
    std::vector<llm::model> models;
    models.push_back(input.load(er::recipe{}, threads));
    models.push_back(output.load(er::recipe{}, threads));
    const llm::tokenizer words = input.read_tokenizer();
    const std::vector<llm::token_id> text =
        words.encode(llm::default_text.substr(0, 1500), llm::tokenizer::markup::plain, false);
    const llm::quality cost =
        llm::measure_quality(models, text, 64, std::nullopt, threads, er::best_kernel())[1];
    // Rounding to float16 moves each weight by 2^-12 of itself at most, and a logit by about as
    // much of its own size, which is below 20: (20 * 2^-12)^2 / 2 = 1e-5. A factor that does not
    // cancel changes the stream by 1 % and more, and the divergence to above 1e-4.
    CHECK(cost.divergence < 1e-5);

    const er::gguf_reader first = er::gguf_reader::open(before),
                          second = er::gguf_reader::open(after);
    for (const er::tensor_info& tensor : first.tensors()) {
      CAPTURE(tensor.name);
      const er::tensor_info& other = second.get(tensor.name);
      if (tensor.name.starts_with("blk.")) {
        CHECK(!std::ranges::equal(tensor.bytes, other.bytes));
      } else {
        CHECK(std::ranges::equal(tensor.bytes, other.bytes));
      }
    }
  }

  TEST_CASE("a seed gives one file, another seed another") {
    const llm::temporary_folder folder{{}};
    llm::make_demo_model(folder.path() / "m.gguf");
    const llm::model_file input(folder.path() / "m.gguf");
    for (const int i : {0, 1, 2})
      llm::write_off_grid(input, i == 2 ? 4 : 3, folder.path() / std::to_string(i));
    CHECK(bytes_of(folder.path() / "0") == bytes_of(folder.path() / "1"));
    CHECK(bytes_of(folder.path() / "0") != bytes_of(folder.path() / "2"));
  }

  TEST_CASE("a quantized model is refused") {
    const llm::temporary_folder folder{{}};
    llm::make_demo_model(folder.path() / "m.gguf");
    const llm::model_file input(folder.path() / "m.gguf");
    llm::thread_pool threads(1);
    llm::write_quantized(input, llm::recipe_for("w4", {}, input.shape), folder.path() / "q.gguf",
                         threads);
    const llm::model_file packed(folder.path() / "q.gguf");
    CHECK_THROWS_WITH_AS(
        llm::write_off_grid(packed, 1, folder.path() / "o.gguf"),
        doctest::Contains("holds a quantized model already; off-grid is for one that is not"),
        std::invalid_argument);
    CHECK(!std::filesystem::exists(folder.path() / "o.gguf"));
  }
}
