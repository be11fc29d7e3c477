// SPDX-License-Identifier: Apache-2.0
#include "llm/layer_walk.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "llm/demo_model.hpp"
#include "llm/temporary_folder.hpp"

namespace er = edgerazor;

TEST_SUITE("layer_walk") {
  std::vector<llm::token_id> counting(std::size_t count) {
    std::vector<llm::token_id> text(count);
    std::iota(text.begin(), text.end(), 0);
    return text;
  }

  TEST_CASE("windows are spread over the text, from its beginning to its end") {
    const auto text = counting(100);
    const llm::token_windows three = llm::cut_windows(text, 3, 20, std::nullopt);
    CHECK(three.count() == 3);
    CHECK(three.window(0)[0] == 0);
    CHECK(three.window(1)[0] == 40);
    CHECK(three.window(2)[19] == 99);
    // No more than the text has, and each begins with the token that texts begin with.
    const llm::token_windows all = llm::cut_windows(text, 99, 21, 7);
    CHECK(all.count() == 5);
    for (std::size_t i = 0; i < all.count(); ++i) CHECK(all.window(i)[0] == 7);
    CHECK(all.window(4)[20] == 99);
  }

  TEST_CASE("a short text is one window, one that says nothing is refused") {
    const llm::token_windows one = llm::cut_windows(counting(30), 8, 512, 3);
    CHECK(one.count() == 1);
    CHECK(one.length == 31);
    CHECK_THROWS_WITH_AS(llm::cut_windows(counting(15), 8, 512, std::nullopt),
                         "the text is too short to calibrate on: it has 15 tokens, at least 16 are "
                         "expected",
                         std::invalid_argument);
  }

  TEST_CASE("all windows end in the logits of a decoder that reads them one by one") {
    const llm::temporary_folder folder{{}};
    llm::make_demo_model(folder.path() / "m.gguf");
    const llm::model_file file(folder.path() / "m.gguf");
    llm::thread_pool threads(2);
    const llm::model model = file.load(er::recipe{}, threads);
    std::vector<llm::token_id> text = counting(400);
    for (llm::token_id& id : text) id %= static_cast<llm::token_id>(model.shape.vocabulary);
    // Longer than a batch, so that a window is cut too.
    const llm::token_windows windows = llm::cut_windows(text, 2, 150, std::nullopt);

    llm::layer_walk walk(model, threads, windows, er::best_kernel());
    CHECK(walk.tokens() == 300);
    for (std::size_t layer = 0; layer < model.shape.layers; ++layer) {
      const std::vector<float> before = walk.stream();
      std::size_t seen = 0;
      walk.look(layer, [&](llm::layer_input which, er::matrix_view<const float> in) {
        if (which == llm::layer_input::down) seen += in.rows;
      });
      CHECK(seen == 300);
      CHECK(walk.stream() == before);
      walk.pass(layer);
      CHECK(walk.stream() != before);
    }
    std::vector<float> got;
    walk.look_at_logits([&](er::matrix_view<const float> logits) {
      got.insert(got.end(), logits.data, logits.data + logits.rows * logits.cols);
    });
    std::vector<float> expected;
    for (std::size_t w = 0; w < windows.count(); ++w) {
      llm::decoder runs(model, threads, windows.length);
      for (std::size_t first = 0; first < windows.length; first += llm::decoder::batch) {
        const auto part =
            windows.window(w).subspan(first, std::min(llm::decoder::batch, windows.length - first));
        runs.forward(part);
        const auto logits = runs.logits(0, part.size());
        expected.insert(expected.end(), logits.data, logits.data + logits.rows * logits.cols);
      }
    }
    CHECK(got == expected);
  }
}
