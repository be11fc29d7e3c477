// SPDX-License-Identifier: Apache-2.0
/// Files of tokens and of what a teacher said about each: its K likeliest next tokens with their
/// log-probabilities, from which `top_k_loss` (distill/top_k.hpp) trains without the teacher.
///
///     file     = header | sequence...                          everything little-endian
///     header   = "edgetopk" | u32 version = 1 | u32 K | u64 vocabulary | zeros to 64 bytes
///     sequence = "seq" NUL | u32 0 | u64 n | i32 tokens[n] | i32 labels[n]
///              | i32 ids[n][K] | f16 log_probabilities[n][K] | zeros to a multiple of 64 bytes
///
/// Row i of ids and log-probabilities (natural logarithms at temperature 1) says what follows token
/// i. Its entries in use come first; an id of -1 is one that is not in use, and a row of them a
/// token after which the teacher was not asked. labels[i] is tokens[i], or -100 where nobody is to
/// learn to predict that token; so labels meet rows with `token_batch::label_shift` 1.
///
/// A file grows by whole sequences, and one that was cut short can be gone on with. So it is
/// written in place, not under a temporary name.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/io/mapped_file.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One sequence of a file; refers to the file's memory. `ids` is a `top_k_teacher`'s as it is.
struct top_k_sequence {
  std::span<const std::int32_t> tokens, labels;
  matrix_view<const std::int32_t> ids;           ///< tokens x K
  matrix_view<const float16> log_probabilities;  ///< likewise

  /// Rows [first, first + out.rows) as numbers. Precondition: there are so many, and K columns.
  void decode(std::size_t first, matrix_view<float> out) const noexcept {
    for (std::size_t i = 0; i < out.rows; ++i) {
      detail::core::convert_elements(log_probabilities.row(first + i).data(), out.cols,
                                     out.row(i).data());
    }
  }
};

namespace detail::io {

inline constexpr std::string_view top_k_magic = "edgetopk";
inline constexpr std::array<char, 4> top_k_sequence_mark{'s', 'e', 'q', '\0'};
inline constexpr std::uint32_t top_k_version = 1;
inline constexpr std::size_t top_k_alignment = 64, top_k_sequence_header = 16;
inline constexpr std::size_t max_top_k = 65536, max_top_k_vocabulary = 0x7fffffff;
/// Of a row: 16 bits round a sum of 1 up by less than that, and it is far from what would matter.
inline constexpr double max_top_k_sum = 1.001;

/// Of a sequence's tokens, without its header: tokens, labels, ids and log-probabilities.
[[nodiscard]] constexpr std::size_t top_k_token_bytes(std::size_t k) noexcept { return 8 + 6 * k; }

[[nodiscard]] constexpr std::size_t top_k_padding(std::size_t bytes) noexcept {
  return (top_k_alignment - bytes % top_k_alignment) % top_k_alignment;
}

/// What is wrong with K of a vocabulary, or nothing.
[[nodiscard]] inline std::string fault_of_top_k(std::uint64_t k, std::uint64_t vocabulary) {
  if (vocabulary < 1 || vocabulary > max_top_k_vocabulary)
    return "a vocabulary of " + std::to_string(vocabulary) + " tokens, expected 1 to 2147483647";
  if (k < 1 || k > std::min<std::uint64_t>(vocabulary, max_top_k)) {
    return "K is " + std::to_string(k) + ", expected 1 to 65536 and at most the vocabulary's " +
           std::to_string(vocabulary);
  }
  return {};
}

/// What is wrong with a row, or nothing. `sorted` is room for its ids.
[[nodiscard]] inline std::string fault_of_top_k_row(std::span<const std::int32_t> ids,
                                                    std::span<const float16> logs,
                                                    std::size_t vocabulary,
                                                    std::vector<std::int32_t>& sorted) {
  sorted.clear();
  double sum = 0;
  for (std::size_t j = 0; j < ids.size(); ++j) {
    const std::int32_t id = ids[j];
    if (id == -1) continue;
    const float log = logs[j];
    if (id < 0 || static_cast<std::size_t>(id) >= vocabulary)
      return "id " + std::to_string(id) + " of a vocabulary of " + std::to_string(vocabulary);
    if (sorted.size() != j) return "an entry in use behind one that is not";
    if (!(log <= 0)) {
      return "id " + std::to_string(id) + " with log-probability " + std::to_string(log) +
             ", expected none above 0";
    }
    sorted.push_back(id);
    sum += std::exp(static_cast<double>(log));
  }
  if (sum > max_top_k_sum)
    return "probabilities that add up to " + std::to_string(sum) + ", expected at most 1";
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    return "id " + std::to_string(*twice) + " twice";
  return {};
}

/// What is wrong with a sequence, or nothing.
[[nodiscard]] inline std::string fault_of_top_k_sequence(const top_k_sequence& one,
                                                         std::size_t vocabulary) {
  std::vector<std::int32_t> sorted;
  for (std::size_t i = 0; i < one.tokens.size(); ++i) {
    const std::int32_t token = one.tokens[i], label = one.labels[i];
    const std::string at = "token " + std::to_string(i) + " has ";
    if (token < 0 || static_cast<std::size_t>(token) >= vocabulary) {
      return at + "id " + std::to_string(token) + ", expected one of a vocabulary of " +
             std::to_string(vocabulary);
    }
    if (label != token && label != -100) {
      return at + "the label " + std::to_string(label) + ", expected -100 or its id " +
             std::to_string(token);
    }
    const std::string fault =
        fault_of_top_k_row(one.ids.row(i), one.log_probabilities.row(i), vocabulary, sorted);
    if (!fault.empty()) return at + fault;
  }
  return {};
}

/// The largest 16-bit number that is not above a log-probability: the sum of a row then stays
/// below 1 where it was, and something is left for the tail.
[[nodiscard]] constexpr float16 rounded_down(float log) noexcept {
  const float16 nearest{log};
  if (!(static_cast<float>(nearest) > log)) return nearest;
  return float16::from_bits(static_cast<std::uint16_t>(nearest.bits + 1u));  // it is negative
}

}  // namespace detail::io

/// An open file. Its header and the extent of every sequence have been checked when it is open;
/// what a sequence says is checked when it is asked for.
class top_k_file {
 public:
  /// Throws io_error where the file can't be read or is none, in a sentence with its name.
  [[nodiscard]] static top_k_file open(const std::filesystem::path& path,
                                       file_access access = file_access::map) {
    std::string error;
    std::optional<top_k_file> file = try_open(path, error, access);
    if (!file) detail::core::fail_io(error);
    return std::move(*file);
  }
  /// As open(), but on an error it returns nothing and sets `error` to the message.
  [[nodiscard]] static std::optional<top_k_file> try_open(const std::filesystem::path& path,
                                                          std::string& error,
                                                          file_access access = file_access::map) {
    std::optional<mapped_file> bytes = mapped_file::try_open(path, error, access);
    if (!bytes) return std::nullopt;
    std::optional<top_k_file> file = try_parse(bytes->bytes(), path.string(), error);
    if (file) file->file_ = std::move(*bytes);
    return file;
  }
  /// The same of bytes in memory, which must outlive the result, at an address that is a multiple
  /// of 4. `name` stands in messages.
  [[nodiscard]] static std::optional<top_k_file> try_parse(std::span<const std::byte> bytes,
                                                           std::string_view name,
                                                           std::string& error) {
    top_k_file file;
    error = file.parse(bytes, name);
    if (error.empty()) error = std::move(file.cut_short_);
    return error.empty() ? std::optional{std::move(file)} : std::nullopt;
  }

  [[nodiscard]] std::size_t k() const noexcept { return k_; }
  [[nodiscard]] std::size_t vocabulary() const noexcept { return vocabulary_; }
  [[nodiscard]] std::size_t sequences() const noexcept { return places_.size(); }
  /// Of all sequences.
  [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
  /// Without looking at what it says. Precondition: i < sequences().
  [[nodiscard]] std::size_t tokens_of(std::size_t i) const noexcept { return places_[i].tokens; }

  /// Throws io_error, naming the file, the sequence and the token, where an id is none of the
  /// vocabulary or twice in a row, a log-probability is NaN or above 0, the probabilities of a row
  /// add up to more than 1, an entry in use follows one that is not, or a label is neither -100 nor
  /// its token. Fails where there is no such sequence.
  [[nodiscard]] top_k_sequence sequence(std::size_t i) const {
    if (i >= places_.size()) {
      detail::core::fail("top_k_file: sequence " + std::to_string(i) + " of " +
                         std::to_string(places_.size()));
    }
    const std::size_t n = places_[i].tokens;
    const auto* const tokens = reinterpret_cast<const std::int32_t*>(
        bytes_.data() + places_[i].offset + detail::io::top_k_sequence_header);
    const std::int32_t* const ids = tokens + 2 * n;
    const top_k_sequence result{{tokens, n},
                                {tokens + n, n},
                                {ids, n, k_},
                                {reinterpret_cast<const float16*>(ids + n * k_), n, k_}};
    const std::string fault = detail::io::fault_of_top_k_sequence(result, vocabulary_);
    if (!fault.empty())
      detail::core::fail_io(name_ + ": sequence " + std::to_string(i) + ": " + fault);
    return result;
  }

 private:
  friend class top_k_writer;

  struct place {
    std::size_t offset, tokens;
  };

  template <class T>
  [[nodiscard]] static T number_at(std::span<const std::byte> bytes, std::size_t at) noexcept {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  }

  /// What is wrong with the file, or nothing. Where its end alone is, cut_short_ says so and the
  /// whole sequences before are there.
  [[nodiscard]] std::string parse(std::span<const std::byte> bytes, std::string_view name) {
    namespace io = detail::io;
    name_ = quoted(name, longest_path);
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(std::int32_t) != 0)
      return name_ + ": its bytes are at an address that is no multiple of 4";
    if (bytes.size() < io::top_k_alignment ||
        std::memcmp(bytes.data(), io::top_k_magic.data(), io::top_k_magic.size()) != 0)
      return name_ +
             " is no file of a teacher's top k: expected a header of 64 bytes that begins "
             "with \"edgetopk\"";
    if (const auto version = number_at<std::uint32_t>(bytes, 8); version != io::top_k_version) {
      return name_ + ": version " + std::to_string(version) + " of the format, expected 1";
    }
    const auto k = number_at<std::uint32_t>(bytes, 12);
    const auto vocabulary = number_at<std::uint64_t>(bytes, 16);
    if (const std::string fault = io::fault_of_top_k(k, vocabulary); !fault.empty())
      return name_ + ": " + fault;
    if (!all_zero(bytes.subspan(24, io::top_k_alignment - 24)))
      return name_ + ": expected zeros behind the header's numbers";
    bytes_ = bytes;
    k_ = k;
    vocabulary_ = static_cast<std::size_t>(vocabulary);
    for (end_ = io::top_k_alignment; end_ < bytes.size();) {
      const std::string what = name_ + ": sequence " + std::to_string(places_.size());
      const std::size_t left = bytes.size() - end_;
      const std::string cut =
          what + " is cut short: " + std::to_string(left) + " bytes are left, expected ";
      if (left < io::top_k_sequence_header) {
        cut_short_ = cut + "a header of 16";
        return {};
      }
      if (std::memcmp(bytes.data() + end_, io::top_k_sequence_mark.data(), 4) != 0 ||
          number_at<std::uint32_t>(bytes, end_ + 4) != 0)
        return what + " does not begin with \"seq\" and zeros";
      const auto count = number_at<std::uint64_t>(bytes, end_ + 8);
      if (count > (left - io::top_k_sequence_header) / io::top_k_token_bytes(k_)) {
        cut_short_ =
            cut + std::to_string(count) + " tokens of " + std::to_string(io::top_k_token_bytes(k_));
        return {};
      }
      const std::size_t n = static_cast<std::size_t>(count);
      const std::size_t size = io::top_k_sequence_header + n * io::top_k_token_bytes(k_);
      const std::size_t padding = io::top_k_padding(size);
      if (padding > left - size) {
        cut_short_ = cut + std::to_string(size + padding);
        return {};
      }
      if (!all_zero(bytes.subspan(end_ + size, padding))) return what + " is not padded with zeros";
      places_.push_back({end_, n});
      tokens_ += n;
      end_ += size + padding;
    }
    return {};
  }

  [[nodiscard]] static bool all_zero(std::span<const std::byte> bytes) noexcept {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
  }

  mapped_file file_;
  std::span<const std::byte> bytes_;
  std::string name_, cut_short_;
  std::vector<place> places_;
  std::size_t k_ = 0, vocabulary_ = 0, tokens_ = 0;
  std::size_t end_ = 0;  ///< of the last whole sequence
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
