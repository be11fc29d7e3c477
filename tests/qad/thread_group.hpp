// SPDX-License-Identifier: Apache-2.0
/// Threads in place of processes. Tests only.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "qad/process_group.hpp"

/// What one thread has sent and another has not yet taken.
class mailbox {
 public:
  void put(std::span<const std::byte> bytes) {
    const std::lock_guard lock(mutex_);
    waiting_.emplace_back(bytes.begin(), bytes.end());
    there_.notify_one();
  }
  /// Whether what was sent has the size of `bytes`.
  bool take(std::span<std::byte> bytes) {
    std::unique_lock lock(mutex_);
    there_.wait(lock, [&] { return !waiting_.empty(); });
    const std::vector<std::byte> first = std::move(waiting_.front());
    waiting_.pop_front();
    std::copy_n(first.begin(), std::min(first.size(), bytes.size()), bytes.begin());
    return first.size() == bytes.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable there_;
  std::deque<std::vector<std::byte>> waiting_;
};

/// One of `size` threads that call the same functions.
class thread_group final : public qad::process_group {
 public:
  /// `boxes`: size * size of them, by sender, then by receiver.
  thread_group(std::size_t rank, std::size_t size, std::span<mailbox> boxes)
      : rank_(rank), size_(size), boxes_(boxes) {}

  [[nodiscard]] std::size_t rank() const noexcept override { return rank_; }
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }
  [[nodiscard]] bool fits() const noexcept { return fits_; }
  [[nodiscard]] std::size_t sent() const noexcept { return sent_; }

 private:
  void exchange(std::size_t partner, std::span<const std::byte> mine,
                std::span<std::byte> theirs) override {
    sent_ += mine.size();
    boxes_[rank_ * size_ + partner].put(mine);
    fits_ = boxes_[partner * size_ + rank_].take(theirs) && fits_;
  }

  std::size_t rank_, size_, sent_ = 0;
  std::span<mailbox> boxes_;
  bool fits_ = true;
};

/// work(group) by `size` threads at once, which may not throw.
inline void in_threads(std::size_t size, const std::function<void(thread_group&)>& work) {
  std::vector<mailbox> boxes(size * size);
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      thread_group group(rank, size, boxes);
      work(group);
    });
  }
  for (std::thread& one : threads) one.join();
}
