// SPDX-License-Identifier: Apache-2.0
/// A process of its own for one model, so that its memory can be measured apart from that of
/// others, while several are asked in turn.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

namespace llm {

/// Answers requests, both JSON. Made inside the worker, so that what it owns is the worker's.
using service = std::function<nlohmann::json(const nlohmann::json& request)>;

/// Forks, makes the service on the first request and answers one request at a time. Without POSIX
/// the service lives in this process, and memory can't be told apart.
///
/// A child of fork() has one thread: make workers while no thread pool lives here.
class worker_process {
 public:
  explicit worker_process(std::function<service()> make);
  worker_process(worker_process&&) noexcept;
  /// Ends the worker.
  ~worker_process();

  /// Throws std::runtime_error with the sentence of what the service threw, or where the worker has
  /// died.
  nlohmann::json ask(const nlohmann::json& request);

  /// Whether workers are processes here.
  static bool isolated() noexcept;

 private:
  struct connection;
  std::unique_ptr<connection> connection_;
};

}  // namespace llm
