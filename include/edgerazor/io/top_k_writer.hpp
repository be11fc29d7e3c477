// SPDX-License-Identifier: Apache-2.0
/// Writes files of a teacher's top k (io/top_k_file.hpp), a sequence at a time.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/io/mapped_file.hpp>
#include <edgerazor/io/top_k_file.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Appends to a file, in place: a process that is killed leaves the sequences that were added, and
/// perhaps a part of one more, which `resume` takes away.
///
///     top_k_writer file("teacher.topk", 16, 49152);
///     file.add(tokens, labels, ids, log_probabilities);
///
/// Every error of the file is an io_error that names it.
class top_k_writer {
 public:
  /// A file without sequences; one that stands at `path` is replaced. Fails where K or the
  /// vocabulary has no meaning.
  top_k_writer(const std::filesystem::path& path, std::size_t k, std::size_t vocabulary)
      : top_k_writer(path, k, vocabulary, "wb") {
    std::array<std::byte, detail::io::top_k_alignment> header{};
    const auto version = detail::io::top_k_version;
    const auto columns = static_cast<std::uint32_t>(k);
    const auto tokens = static_cast<std::uint64_t>(vocabulary);
    std::memcpy(header.data(), detail::io::top_k_magic.data(), detail::io::top_k_magic.size());
    std::memcpy(header.data() + 8, &version, sizeof version);
    std::memcpy(header.data() + 12, &columns, sizeof columns);
    std::memcpy(header.data() + 16, &tokens, sizeof tokens);
    write(header);
  }

  /// Goes on behind the first `sequences` of a file and forgets what follows them. Throws io_error
  /// where it has fewer, or another K or vocabulary.
  [[nodiscard]] static top_k_writer resume(const std::filesystem::path& path, std::size_t k,
                                           std::size_t vocabulary, std::size_t sequences) {
    std::size_t end = 0;
    {
      const mapped_file bytes = mapped_file::open(path);
      top_k_file file;
      const std::string error = file.parse(bytes.bytes(), path.string());
      // Where a later part is no sequence, those before it are still there.
      if (file.k_ == 0) detail::core::fail_io(error);
      if (file.k_ != k || file.vocabulary_ != vocabulary) {
        detail::core::fail_io(file.name_ + " has K " + std::to_string(file.k_) +
                              " of a vocabulary of " + std::to_string(file.vocabulary_) +
                              ", expected " + std::to_string(k) + " of " +
                              std::to_string(vocabulary));
      }
      if (file.places_.size() < sequences) {
        detail::core::fail_io(file.name_ + " has " + std::to_string(file.places_.size()) +
                              " whole sequences, expected at least " + std::to_string(sequences));
      }
      end = sequences < file.places_.size() ? file.places_[sequences].offset : file.end_;
    }
    std::error_code code;
    std::filesystem::resize_file(path, end, code);
    if (code) refuse(path, code.value());
    top_k_writer result(path, k, vocabulary, "ab");
    result.sequences_ = sequences;
    return result;
  }

  /// Appends a sequence; labels, and rows of ids and log-probabilities, are as many as tokens, and
  /// the rows have K columns. Log-probabilities are rounded down to 16 bits. Fails, before anything
  /// is written, where that is not so, and on what `top_k_file::sequence` refuses: an id that is
  /// none or twice, a log-probability that is NaN or above 0, a sum above 1, another label. Where
  /// the system refuses to write, this fails, and so does every later call; `resume` goes on behind
  /// the sequences that are whole.
  void add(std::span<const std::int32_t> tokens, std::span<const std::int32_t> labels,
           matrix_view<const std::int32_t> ids, matrix_view<const float> log_probabilities) {
    const std::size_t n = tokens.size();
    const auto is_shape = [&](std::size_t rows, std::size_t cols) {
      return rows == n && (n == 0 || cols == k_);
    };
    if (labels.size() != n || !is_shape(ids.rows, ids.cols) ||
        !is_shape(log_probabilities.rows, log_probabilities.cols)) {
      using detail::core::shape_text;
      detail::core::fail("top_k_writer: " + std::to_string(n) + " tokens have " +
                         std::to_string(labels.size()) + " labels, ids " +
                         shape_text(ids.rows, ids.cols) + " and log-probabilities " +
                         shape_text(log_probabilities.rows, log_probabilities.cols) +
                         ", expected " + shape_text(n, k_));
    }
    std::vector<std::int32_t> all_ids;
    std::vector<float16> logs;
    for (std::size_t i = 0; i < n; ++i) {
      const std::span<const std::int32_t> row = ids.row(i);
      all_ids.insert(all_ids.end(), row.begin(), row.end());
      for (std::size_t j = 0; j < k_; ++j) {
        const bool used = row[j] != -1;
        const float log = used ? log_probabilities.row(i)[j] : 0.0f;
        if (log > 0) {  // which may round to 0
          detail::core::fail("top_k_writer: token " + std::to_string(i) + " has id " +
                             std::to_string(row[j]) + " with a log-probability above 0");
        }
        logs.push_back(detail::io::rounded_down(log));
      }
    }
    const std::string fault = detail::io::fault_of_top_k_sequence(
        {tokens, labels, {all_ids.data(), n, k_}, {logs.data(), n, k_}}, vocabulary_);
    if (!fault.empty()) detail::core::fail("top_k_writer: " + fault);

    std::vector<std::byte> bytes;
    const auto append = [&bytes](const auto& values) {
      const std::span<const std::byte> part = std::as_bytes(std::span{values});
      bytes.insert(bytes.end(), part.begin(), part.end());
    };
    append(detail::io::top_k_sequence_mark);
    append(std::array<std::uint32_t, 1>{0});
    append(std::array<std::uint64_t, 1>{n});
    append(tokens);
    append(labels);
    append(all_ids);
    append(logs);
    bytes.resize(bytes.size() + detail::io::top_k_padding(bytes.size()));
    write(bytes);
    ++sequences_;
  }

  /// In the file.
  [[nodiscard]] std::size_t sequences() const noexcept { return sequences_; }

 private:
  struct closer {
    void operator()(std::FILE* stream) const noexcept { std::fclose(stream); }
  };

  top_k_writer(const std::filesystem::path& path, std::size_t k, std::size_t vocabulary,
               const char* mode)
      : path_(path), k_(k), vocabulary_(vocabulary) {
    const std::string fault = detail::io::fault_of_top_k(k, vocabulary);
    if (!fault.empty()) detail::core::fail("top_k_writer: " + fault);
    stream_.reset(std::fopen(path.string().c_str(), mode));
    if (stream_ == nullptr) refuse(path_, errno);
  }

  [[noreturn]] static void refuse(const std::filesystem::path& path, int code) {
    detail::core::fail_io("can't write " + quoted(path.string(), longest_path) + ": " +
                          std::generic_category().message(code));
  }

  /// At once, so that what was added is there when the process ends. After a failure nothing more:
  /// nobody could read what stands behind a part of a sequence.
  void write(std::span<const std::byte> bytes) {
    if (stream_ == nullptr) detail::core::fail("top_k_writer: it was moved from");
    if (failure_ == 0 &&
        (std::fwrite(bytes.data(), 1, bytes.size(), stream_.get()) != bytes.size() ||
         std::fflush(stream_.get()) != 0))
      failure_ = errno != 0 ? errno : EIO;
    if (failure_ != 0) refuse(path_, failure_);
  }

  std::filesystem::path path_;
  std::size_t k_, vocabulary_, sequences_ = 0;
  int failure_ = 0;  ///< errno of the write that failed
  std::unique_ptr<std::FILE, closer> stream_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
