// SPDX-License-Identifier: Apache-2.0
// A teacher's top k from a file: what was written comes back, a student learns from it alone, and
// whatever lies in a file is refused in a sentence.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "temporary_folder.hpp"
#include "top_k_sequences.hpp"
#include <edgerazor/distill/top_k.hpp>
#include <edgerazor/io/top_k_file.hpp>
#include <edgerazor/io/top_k_writer.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/top_k_file");

namespace {

/// Of the bytes at an address that fits; empty where they are a file.
std::string refusal_of(std::span<const std::byte> bytes) {
  std::vector<std::int32_t> words(bytes.size() / 4 + 1);
  std::memcpy(words.data(), bytes.data(), bytes.size());
  std::string error;
  const auto file =
      er::top_k_file::try_parse(std::as_bytes(std::span{words}).first(bytes.size()), "it", error);
  CHECK(file.has_value() == error.empty());
  if (!file) return error;
  try {
    for (std::size_t i = 0; i < file->sequences(); ++i) (void)file->sequence(i);
  } catch (const er::io_error& refused) {
    return refused.what();
  }
  return {};
}

template <class T>
void put(std::vector<std::byte>& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

}  // namespace

TEST_CASE("what was written comes back, rounded down to 16 bits") {
  const temporary_folder folder;
  const auto path = folder / "a.topk";
  const std::vector<top_k_data> all = some_sequences();
  {
    er::top_k_writer writer(path, 3, 11);
    for (const top_k_data& one : all) one.add_to(writer);
    CHECK(writer.sequences() == all.size());
  }
  for (const er::file_access access : {er::file_access::map, er::file_access::read}) {
    const er::top_k_file file = er::top_k_file::open(path, access);
    CHECK(file.k() == 3);
    CHECK(file.vocabulary() == 11);
    REQUIRE(file.sequences() == all.size());
    std::size_t tokens = 0;
    for (std::size_t s = 0; s < all.size(); ++s) {
      const top_k_data& wrote = all[s];
      const er::top_k_sequence read = file.sequence(s);
      const std::size_t n = wrote.tokens.size();
      tokens += n;
      CHECK(file.tokens_of(s) == n);
      REQUIRE(read.tokens.size() == n);
      std::vector<float> logs(n * 3);
      read.decode(0, {logs.data(), n, std::size_t{3}});
      for (std::size_t i = 0; i < n; ++i) {
        CHECK(read.tokens[i] == wrote.tokens[i]);
        CHECK(read.labels[i] == wrote.labels[i]);
        for (std::size_t j = 0; j < 3; ++j) {
          CHECK(read.ids.row(i)[j] == wrote.ids[3 * i + j]);
          if (read.ids.row(i)[j] < 0) continue;
          const float was = wrote.logs[3 * i + j], is = logs[3 * i + j];
          // One unit of 11 bits, or of the smallest number.
          CHECK(is <= was);
          if (was > -65504) CHECK(was - is <= std::max(std::fabs(was) * 0x1p-10f, 0x1p-24f));
        }
      }
    }
    CHECK(file.tokens() == tokens);
    CHECK_THROWS_AS((void)file.sequence(all.size()), std::invalid_argument);
  }
}

TEST_CASE("a student comes to its teacher by the file alone") {
  // The teacher's logits of 6 positions and 12 tokens are in no later line than the file's writing.
  constexpr std::size_t n = 6, vocabulary = 12, k = 5, seed = 14;
  CAPTURE(seed);
  const temporary_folder folder;
  std::vector<double> teacher(n * vocabulary);
  {
    std::mt19937_64 random(seed);
    for (double& x : teacher) x = static_cast<double>(random() >> 11) * 0x1p-51;  // 0 to 4
    er::top_k_writer writer(folder / "teacher.topk", k, vocabulary);
    top_k_data one;
    for (std::size_t i = 0; i < n; ++i) {
      double sum = 0;
      for (std::size_t c = 0; c < vocabulary; ++c) sum += std::exp(teacher[i * vocabulary + c]);
      for (double& x : std::span{teacher}.subspan(i * vocabulary, vocabulary)) x -= std::log(sum);
      one.tokens.push_back(static_cast<std::int32_t>(i));
      one.labels.push_back(i < 2 ? -100 : static_cast<std::int32_t>(i));
      for (std::size_t j = 0; j < k; ++j) {
        const std::size_t id = (2 * j + i) % vocabulary;
        one.ids.push_back(static_cast<std::int32_t>(id));
        one.logs.push_back(static_cast<float>(teacher[i * vocabulary + id]));
      }
    }
    one.add_to(writer);
  }
  const er::top_k_file file = er::top_k_file::open(folder / "teacher.topk");
  const er::top_k_sequence data = file.sequence(0);
  std::vector<float> logs(n * k), student(n * vocabulary), gradient(n * vocabulary);
  data.decode(0, {logs.data(), n, k});
  const er::top_k_teacher known{data.ids, {logs.data(), n, k}};
  const er::token_batch tokens{.labels = data.labels, .label_shift = 1, .how = er::reduction::sum};
  const er::top_k_loss loss{er::entropy_aware_kl{.confidence_k = 16}};
  double value = 0;
  for (int step = 0; step < 400; ++step) {
    value = loss(er::matrix_view<const float>{student.data(), n, vocabulary}, known, tokens,
                 er::matrix_view<float>{gradient.data(), n, vocabulary})
                .value;
    for (std::size_t i = 0; i < student.size(); ++i) student[i] -= 1.0f * gradient[i];
  }
  CHECK(value < 1e-5);
  // Known tokens have their probability, to what 16 bits leave; rows that predict no label (the
  // first, whose successor has none, and the last) have not moved.
  for (std::size_t i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t c = 0; c < vocabulary; ++c)
      sum += std::exp(static_cast<double>(student[i * vocabulary + c]));
    for (std::size_t j = 0; j < k; ++j) {
      const auto id = static_cast<std::size_t>(data.ids.row(i)[j]);
      const double is = std::exp(static_cast<double>(student[i * vocabulary + id])) / sum;
      const bool learns = i >= 1 && i + 1 < n;
      const double wanted = learns ? std::exp(teacher[i * vocabulary + id]) : 1.0 / vocabulary;
      CHECK(is == doctest::Approx(wanted).epsilon(0.02));
    }
  }
}

TEST_CASE("a broken file is refused in a sentence that names it and what was expected") {
  const temporary_folder folder;
  {
    er::top_k_writer writer(folder / "a", 2, 9);
    top_k_data{{1, 2}, {-100, 2}, {3, 4, 5, -1}, {-1, -2, -0.5f, 0}}.add_to(writer);
  }
  // 64 of header, 16 of the sequence's, tokens at 80, labels at 88, ids at 96, numbers at 112.
  const std::vector<std::byte> whole = read_bytes(folder / "a");
  REQUIRE(whole.size() == 128);
  CHECK(refusal_of(whole) == "");
  using bytes = std::vector<std::byte>;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::pair<const char*, std::function<void(bytes&)>>> broken{
      {"expected a header of 64 bytes", [](bytes& b) { b.clear(); }},
      {"expected a header of 64 bytes", [](bytes& b) { b.resize(63); }},
      {"begins with \"edgetopk\"", [](bytes& b) { b[0] = std::byte{'E'}; }},
      {"version 2 of the format, expected 1", [](bytes& b) { put(b, 8, 2u); }},
      {"K is 0, expected 1 to 65536", [](bytes& b) { put(b, 12, 0u); }},
      {"K is 10, expected 1 to 65536 and at most the vocabulary's 9",
       [](bytes& b) { put(b, 12, 10u); }},
      {"a vocabulary of 0 tokens", [](bytes& b) { put(b, 16, std::uint64_t{0}); }},
      {"a vocabulary of 2147483648 tokens",
       [](bytes& b) { put(b, 16, std::uint64_t{0x80000000u}); }},
      {"expected zeros behind the header", [](bytes& b) { b[40] = std::byte{1}; }},
      {"sequence 0 does not begin with \"seq\"", [](bytes& b) { b[64] = std::byte{0}; }},
      {"sequence 0 does not begin with \"seq\"", [](bytes& b) { b[69] = std::byte{1}; }},
      {"sequence 0 is cut short: 64 bytes are left, expected 18446744073709551615 tokens of 20",
       [](bytes& b) { put(b, 72, ~std::uint64_t{0}); }},
      {"sequence 0 is cut short: 64 bytes are left, expected 3 tokens",
       [](bytes& b) { put(b, 72, std::uint64_t{3}); }},
      {"sequence 0 is cut short: 8 bytes", [](bytes& b) { b.resize(72); }},
      {"sequence 0 is cut short: 63 bytes are left, expected 64", [](bytes& b) { b.pop_back(); }},
      {"sequence 1 is cut short: 1 bytes are left, expected a header of 16",
       [](bytes& b) { b.resize(129); }},
      {"is not padded with zeros", [](bytes& b) { b[127] = std::byte{1}; }},
      {"token 1 has id 9, expected one of a vocabulary of 9", [](bytes& b) { put(b, 84, 9); }},
      {"token 0 has id -5, expected", [](bytes& b) { put(b, 80, -5); }},
      {"token 0 has the label 2, expected -100 or its id 1", [](bytes& b) { put(b, 88, 2); }},
      {"token 0 has id 9 of a vocabulary of 9", [](bytes& b) { put(b, 96, 9); }},
      {"token 0 has id -2 of a vocabulary of 9", [](bytes& b) { put(b, 96, -2); }},
      {"token 0 has id 3 twice", [](bytes& b) { put(b, 100, 3); }},
      {"token 0 has an entry in use behind one that is not", [](bytes& b) { put(b, 96, -1); }},
      {"id 3 with log-probability nan", [=](bytes& b) { put(b, 112, er::float16{nan}); }},
      {"id 3 with log-probability 0.5", [](bytes& b) { put(b, 112, er::float16{0.5f}); }},
      {"token 0 has probabilities that add up to 1.1",
       [](bytes& b) { put(b, 112, er::float16{0.0f}); }},
  };
  for (const auto& one : broken) {
    const char* const sentence = one.first;
    bytes copy = whole;
    one.second(copy);
    const std::string refused = refusal_of(copy);
    CAPTURE(sentence);
    CAPTURE(refused);
    CHECK(refused.find(sentence) != std::string::npos);
    CHECK(refused.starts_with("'it'"));
  }
  // A row that is not in use is not read.
  bytes unused = whole;
  put(unused, 118, er::float16{nan});
  CHECK(refusal_of(unused) == "");
}

TEST_CASE("no byte of a file makes its reader leave it, and no cut goes unnoticed") {
  const temporary_folder folder;
  std::vector<std::size_t> ends;
  {
    er::top_k_writer writer(folder / "a", 3, 11);
    for (const top_k_data& one : some_sequences()) {
      ends.push_back(static_cast<std::size_t>(std::filesystem::file_size(folder / "a")));
      one.add_to(writer);
    }
  }
  const std::vector<std::byte> whole = read_bytes(folder / "a");
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::vector<std::byte> copy = whole;
    for (const unsigned flip : {1u, 0x80u, 0xffu}) {
      copy[at] = whole[at] ^ std::byte(flip);
      (void)refusal_of(copy);
    }
    CHECK((refusal_of(std::span{whole}.first(at)) == "") == std::ranges::binary_search(ends, at));
  }
}

TEST_SUITE_END();
