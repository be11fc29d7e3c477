// SPDX-License-Identifier: Apache-2.0
/// Attention over the int8 cache: against plain loops in double within derived bounds, and the same
/// bits from every kernel.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/guarded.hpp"
#include "support/samples.hpp"
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/product/attention.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/attention");

namespace {

using sizes = std::initializer_list<std::size_t>;

/// A cache of some heads, filled, and what it holds as real numbers.
struct filled_cache {
  std::size_t heads, head_size, positions;
  er::kv_cache cache;
  std::vector<double> keys, values;  ///< [head][position][column], level * scale, exact in double

  filled_cache(std::size_t head_count, std::size_t size, std::size_t count, std::uint32_t group,
               std::mt19937& random)
      : heads(head_count),
        head_size(size),
        positions(count),
        cache(heads, head_size, positions + 7, group) {
    for (std::size_t t = 0; t < positions; ++t) {
      const std::vector<float> k = samples::draw(samples::kind::normal, heads * head_size, random);
      const std::vector<float> v =
          samples::draw(samples::kind::outliers, heads * head_size, random);
      cache.append(k, v);
    }
    for (std::size_t h = 0; h < heads; ++h) {
      std::vector<std::int8_t> levels((positions + 7) * head_size);
      er::unpack(cache.keys(h),
                 er::matrix_view<std::int8_t>{levels.data(), positions + 7, head_size});
      for (std::size_t i = 0; i < positions * head_size; ++i) {
        const std::size_t t = i / head_size, g = i % head_size / cache.group_cols();
        keys.push_back(double{er::scale_at(cache.keys(h), t, g)} * levels[i]);
        values.push_back(double{cache.value_scales(h)[t * cache.groups() + g]} *
                         cache.values(h)[i]);
      }
    }
  }
  [[nodiscard]] double key(std::size_t h, std::size_t t, std::size_t c) const {
    return keys[(h * positions + t) * head_size + c];
  }
  [[nodiscard]] double value(std::size_t h, std::size_t t, std::size_t c) const {
    return values[(h * positions + t) * head_size + c];
  }
};

template <class Check>
void for_each_cache(const Check& check) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t head_size : sizes{1, 4, 20, 64, 80, 100, 128}) {
    for (const std::uint32_t group : {0u, 32u, 64u}) {
      for (const std::size_t positions : sizes{1, 15, 16, 17, 100, 300}) {
        CAPTURE(head_size);
        CAPTURE(group);
        CAPTURE(positions);
        check(filled_cache(2, head_size, positions, group, random), random);
      }
    }
  }
}

}  // namespace

TEST_CASE("attention: scores are the products of the query with the keys") {
  for_each_cache([](const filled_cache& item, std::mt19937& random) {
    const std::vector<float> query = samples::draw(samples::kind::uniform, item.head_size, random);
    for (std::size_t h = 0; h < item.heads; ++h) {
      std::vector<float> reference(item.positions, -3.0f);
      er::attention_scores(item.cache, h, er::unquantized{query}, reference,
                           {.kernel = er::find_kernel("scalar")});
      // A column passes at most group / 4 fmas of its chain, two additions, and a fma for each
      // group.
      const double roundings = static_cast<double>(item.cache.group_cols()) / 4 + 1 + 2 +
                               static_cast<double>(item.cache.groups());
      std::size_t wrong = 0;
      for (std::size_t t = 0; t < item.positions; ++t) {
        double sum = 0, magnitudes = 0;
        for (std::size_t c = 0; c < item.head_size; ++c) {
          const double term = item.key(h, t, c) * static_cast<double>(query[c]);
          sum += term;
          magnitudes += std::fabs(term);
        }
        wrong += !(std::fabs(static_cast<double>(reference[t]) - sum) <=
                   0x1p-24 * roundings * magnitudes * (1 + 0x1p-10));
      }
      CHECK(wrong == 0);
      for (const er::kernel& k : er::available_kernels()) {
        // The first positions alone, into an array that ends there.
        for (const std::size_t count : {item.positions, item.positions / 2}) {
          const guarded::array<float> scores(std::vector<float>(count, -3.0f), guarded::edge::end);
          er::attention_scores(item.cache, h, er::unquantized{query}, scores.span(),
                               {.kernel = &k});
          CHECK(samples::count_differences(scores.span(), std::span{reference}.first(count)) == 0);
        }
      }
    }
  });
}

TEST_CASE("attention: scores of an int8 query") {
  for_each_cache([](const filled_cache& item, std::mt19937& random) {
    const std::vector<float> query = samples::draw(samples::kind::uniform, item.head_size, random);
    er::packed_activations memory(item.head_size, item.cache.group_cols());
    const er::activation_view q8 =
        er::quantize_activations({query.data(), 1, item.head_size}, memory);
    std::vector<float> reference(item.positions);
    er::attention_scores(item.cache, 1, q8, reference, {.kernel = er::find_kernel("scalar")});
    std::size_t wrong = 0;
    for (std::size_t t = 0; t < item.positions; ++t) {
      double sum = 0, magnitudes = 0;
      for (std::size_t c = 0; c < item.head_size; ++c) {
        const double term =
            item.key(1, t, c) * q8.codes[c] * static_cast<double>(q8.scales[c / q8.group_cols]);
        sum += term;
        magnitudes += std::fabs(term);
      }
      // Sums are exact integers; a group's product of scales is rounded, its sum to float, and its
      // fma.
      wrong +=
          !(std::fabs(static_cast<double>(reference[t]) - sum) <=
            0x1p-24 * (2 + static_cast<double>(item.cache.groups())) * magnitudes * (1 + 0x1p-10));
    }
    CHECK(wrong == 0);
    for (const er::kernel& k : er::available_kernels()) {
      std::vector<float> scores(item.positions, -3.0f);
      er::attention_scores(item.cache, 1, q8, scores, {.kernel = &k});
      CHECK(samples::count_differences(scores, reference) == 0);
    }
  });
}

TEST_CASE("attention: the mix is the sum of probabilities times values") {
  for_each_cache([](const filled_cache& item, std::mt19937& random) {
    std::vector<float> probabilities =
        samples::draw(samples::kind::uniform, item.positions, random);
    er::softmax(probabilities, {.scale = 3.0f});
    for (std::size_t h = 0; h < item.heads; ++h) {
      std::vector<float> reference(item.head_size, -3.0f);
      er::attention_mix(item.cache, h, probabilities, reference,
                        {.kernel = er::find_kernel("scalar")});
      std::size_t wrong = 0;
      for (std::size_t c = 0; c < item.head_size; ++c) {
        double sum = 0, magnitudes = 0;
        for (std::size_t t = 0; t < item.positions; ++t) {
          const double term = item.value(h, t, c) * static_cast<double>(probabilities[t]);
          sum += term;
          magnitudes += std::fabs(term);
        }
        // A position's weight, probability * scale, is rounded once, and passes one fma for each
        // position.
        const double roundings = 1 + static_cast<double>(item.positions);
        wrong += !(std::fabs(static_cast<double>(reference[c]) - sum) <=
                   0x1p-24 * roundings * magnitudes * (1 + 0x1p-10));
      }
      CHECK(wrong == 0);
      for (const er::kernel& k : er::available_kernels()) {
        const guarded::array<float> out(std::vector<float>(item.head_size, -3.0f),
                                        guarded::edge::end);
        er::attention_mix(item.cache, h, probabilities, out.span(), {.kernel = &k});
        CHECK(samples::count_differences(out.span(), reference) == 0);
      }
    }
  });
}

TEST_CASE("attention: positions past those asked for do not count, nor does their number") {
  std::mt19937 random(1);
  const filled_cache item(1, 64, 300, 32, random);
  const std::vector<float> query = samples::draw(samples::kind::uniform, 64, random);
  std::vector<float> all(300), some(255);
  er::attention_scores(item.cache, 0, er::unquantized{query}, all);
  er::attention_scores(item.cache, 0, er::unquantized{query}, some);
  CHECK(samples::count_differences(some, std::span{all}.first(255)) == 0);
  // Zero probabilities add nothing.
  std::vector<float> few(all.size(), 0.0f), out(64), short_out(64);
  std::fill_n(few.begin(), 10, 0.1f);
  er::attention_mix(item.cache, 0, few, out);
  er::attention_mix(item.cache, 0, std::span{few}.first(10), short_out);
  CHECK(out == short_out);
  er::attention_mix(item.cache, 0, std::span{few}.first(0), out);
  CHECK(out == std::vector<float>(64, 0.0f));
}

TEST_CASE("softmax: against double; large scores do not overflow") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const float magnitude : {0.1f, 10.0f, 1e4f, 3e38f}) {
    std::vector<float> scores = samples::draw(samples::kind::uniform, 333, random);
    for (float& s : scores) s *= magnitude;
    std::vector<double> expected;
    double sum = 0;
    const float largest = *std::max_element(scores.begin(), scores.end()), scale = 0.125f;
    for (const float s : scores) {
      // The exponent as the function rounds it, so that what is compared is the exponential and the
      // sum.
      expected.push_back(std::exp(static_cast<double>(scale * (s - largest))));
      sum += expected.back();
    }
    er::softmax(scores, {.scale = scale});
    double total = 0;
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      // In units of 2^-24: the exponential is within 4 (2 ulp), the sum of positive terms in 16
      // chains of 21 within 21 + 4 and those 4 again, the inverse and the product within 1 each.
      // Subnormal results have an absolute error.
      wrong += !(std::fabs(static_cast<double>(scores[i]) - expected[i] / sum) <=
                 expected[i] / sum * 35 * 0x1p-24 + 0x1p-147);
      total += static_cast<double>(scores[i]);
    }
    CAPTURE(magnitude);
    CHECK(wrong == 0);
    CHECK(total == doctest::Approx(1).epsilon(1e-6));
  }
  er::softmax({});
}

TEST_CASE("attention: queries together are each query alone, on every kernel") {
  for_each_cache([](const filled_cache& item, std::mt19937& random) {
    const float scale = 0.3f;
    for (const std::size_t queries : sizes{1, 3, 4, 9, 17}) {
      const std::size_t stride = item.head_size + 3, score_stride = item.positions + 2;
      const std::vector<float> memory =
          samples::draw(samples::kind::normal, queries * stride, random);
      const er::matrix_view<const float> all{memory.data(), queries, item.head_size, stride};
      std::vector<std::size_t> lengths;
      for (std::size_t q = 0; q < queries; ++q) lengths.push_back(random() % (item.positions + 1));
      std::vector<float> reference(queries * item.head_size, -3.0f);
      for (std::size_t q = 0; q < queries; ++q) {
        std::vector<float> scores(lengths[q]);
        er::attention_scores(item.cache, 1, er::unquantized{all.row(q)}, scores,
                             {.kernel = er::find_kernel("scalar")});
        er::softmax(scores, {.scale = scale, .kernel = er::find_kernel("scalar")});
        er::attention_mix(item.cache, 1, scores,
                          std::span{reference}.subspan(q * item.head_size, item.head_size),
                          {.kernel = er::find_kernel("scalar")});
      }
      for (const er::kernel& k : er::available_kernels()) {
        CAPTURE(k.name);
        std::vector<float> scores(queries * score_stride), out(queries * item.head_size, -3.0f);
        er::attention(item.cache, 1, all, lengths, scale,
                      er::matrix_view<float>{scores.data(), queries, item.positions, score_stride},
                      er::matrix_view<float>{out.data(), queries, item.head_size}, {.kernel = &k});
        CHECK(samples::count_differences(out, reference) == 0);
      }
    }
  });
}

TEST_CASE("attention: what is refused") {
  using error = std::invalid_argument;
  std::mt19937 random(1);
  const filled_cache item(2, 64, 5, 0, random);
  const std::vector<float> query(64), probabilities(5);
  std::vector<float> out(64), scores(5), many(6);
  constexpr const char* sentence =
      "attention: head 2 of 64 columns over 5 positions, of a cache of 2 heads of 64 columns with "
      "5 positions";
  CHECK_THROWS_WITH_AS(er::attention_scores(item.cache, 2, er::unquantized{query}, scores),
                       sentence, error);
  CHECK_THROWS_WITH_AS(er::attention_mix(item.cache, 2, probabilities, out), sentence, error);
  CHECK_THROWS_AS(
      er::attention_scores(item.cache, 0, er::unquantized{std::span{query}.first(63)}, scores),
      error);
  CHECK_THROWS_AS(er::attention_scores(item.cache, 0, er::unquantized{query}, many), error);
  CHECK_THROWS_AS(er::attention_mix(item.cache, 0, many, out), error);
  CHECK_THROWS_AS(er::attention_mix(item.cache, 0, probabilities, std::span{out}.first(63)), error);
  const er::matrix_view<const float> queries{query.data(), 1, 64};
  const er::matrix_view<float> row{out.data(), 1, 64}, room{scores.data(), 1, 5};
  const std::size_t lengths[] = {5, 6};
  CHECK_THROWS_WITH_AS(
      er::attention(item.cache, 0, queries, std::span{lengths}.first(2), 1, room, row),
      "attention: 1 queries do not fit a matrix of 2 rows", error);
  CHECK_THROWS_AS(er::attention(item.cache, 0, queries, std::span{lengths}.last(1), 1, room, row),
                  error);
  CHECK_THROWS_WITH_AS(er::attention(item.cache, 0, queries, std::span{lengths}.first(1), 1,
                                     er::matrix_view<float>{scores.data(), 1, 4}, row),
                       "attention: working memory of 4 scores a query for 5 positions", error);
  er::packed_activations two(64, 0, 2), groups(64, 32), narrow(60, 0);
  CHECK_THROWS_WITH_AS(er::attention_scores(item.cache, 0, two.view(), scores),
                       "attention: 2 queries do not fit a matrix of 1 rows", error);
  CHECK_THROWS_AS(er::attention_scores(item.cache, 0, groups.view(), scores), error);
  CHECK_THROWS_AS(er::attention_scores(item.cache, 0, narrow.view(), scores), error);
}

TEST_CASE(
    "attention: a NaN or an infinity in the cache reaches what is made of it, and that alone") {
  constexpr std::size_t size = 24, group = 8, positions = 19;
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    CAPTURE(bad);
    er::kv_cache cache(1, size, positions, group);
    for (std::size_t t = 0; t < positions; ++t) {
      std::vector<float> key(size, 1.0f), value(size, 1.0f);
      if (t == 5) key[20] = bad;
      if (t == 7) value[3] = bad;
      cache.append(key, value);
    }
    const std::vector<float> query(size, 0.5f);
    for (const er::kernel& k : er::available_kernels()) {
      CAPTURE(k.name);
      std::vector<float> scores(positions), out(size);
      er::attention_scores(cache, 0, er::unquantized{std::span<const float>{query}}, scores,
                           {.kernel = &k});
      for (std::size_t t = 0; t < positions; ++t) CHECK(std::isnan(scores[t]) == (t == 5));
      std::vector<float> probabilities(positions, 1.0f / positions);
      er::attention_mix(cache, 0, std::span<const float>{probabilities}, out, {.kernel = &k});
      for (std::size_t c = 0; c < size; ++c) CHECK(std::isnan(out[c]) == (c < group));
      const std::size_t length = positions;
      er::attention(cache, 0, std::span<const float>{query}, {&length, 1}, 1.0f, scores, out,
                    {.kernel = &k});
      for (const float c : out) CHECK(std::isnan(c));
    }
  }
}

TEST_CASE("softmax: a NaN or +infinity wherever it stands makes all NaN; -infinity is zero") {
  for (const er::kernel& k : er::available_kernels()) {
    CAPTURE(k.name);
    std::size_t wrong = 0;
    for (std::size_t size = 1; size < 40; ++size) {
      for (std::size_t at = 0; at < size; ++at) {
        for (const float bad : {NAN, INFINITY}) {
          std::vector<float> scores(size, 0.25f);
          scores[at] = bad;
          er::softmax(scores, {.kernel = &k});
          for (const float p : scores) wrong += !std::isnan(p);
        }
        std::vector<float> scores(size + 1, 0.25f);
        scores[at] = -INFINITY;
        er::softmax(scores, {.kernel = &k});
        for (std::size_t i = 0; i <= size; ++i)
          wrong += scores[i] != (i == at ? 0.0f : 1.0f / static_cast<float>(size));
      }
    }
    CHECK(wrong == 0);
    std::vector<float> none(5, -INFINITY);
    er::softmax(none, {.kernel = &k});
    for (const float p : none) CHECK(std::isnan(p));
  }
}

TEST_SUITE_END();
