// SPDX-License-Identifier: Apache-2.0
#include "worker_process.hpp"

#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "report.hpp"
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

#if EDGERAZOR_POSIX
#include <csignal>
#include <cstdint>
#include <cstdio>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#endif
#if EDGERAZOR_LINUX
#include <sys/prctl.h>
#endif

namespace llm {

namespace {

/// {"answer": ...} or {"error": "sentence"}.
nlohmann::json answer(service& serve, const std::function<service()>& make,
                      const nlohmann::json& request) {
  try {
    if (!serve) serve = make();
    return {{"answer", serve(request)}};
  } catch (const std::exception& error) {
    return {{"error", error.what()}};
  }
}

}  // namespace

#if EDGERAZOR_POSIX

namespace {

[[noreturn]] void refuse(const std::string& what, int code) {
  throw edgerazor::io_error(what + ": " + std::generic_category().message(code));
}

}  // namespace

struct worker_process::connection {
  int socket = -1;
  ::pid_t child = -1;

  // A message: its length as u32, then its text.
  static bool transfer(int socket, char* data, std::size_t size, bool send) {
    while (size > 0) {
      const ::ssize_t moved =
          send ? ::send(socket, data, size, MSG_NOSIGNAL) : ::recv(socket, data, size, 0);
      if (moved < 0 && errno == EINTR) continue;
      if (moved <= 0) return false;
      data += moved;
      size -= static_cast<std::size_t>(moved);
    }
    return true;
  }
  static bool send(int socket, const nlohmann::json& message) {
    std::string text = json_text(message);
    auto size = static_cast<std::uint32_t>(text.size());
    return transfer(socket, reinterpret_cast<char*>(&size), sizeof size, true) &&
           transfer(socket, text.data(), text.size(), true);
  }
  static bool receive(int socket, nlohmann::json& message) {
    std::uint32_t size = 0;
    if (!transfer(socket, reinterpret_cast<char*>(&size), sizeof size, false)) return false;
    std::string text(size, '\0');
    if (!transfer(socket, text.data(), text.size(), false)) return false;
    message = nlohmann::json::parse(text);
    return true;
  }

  ~connection() {
    if (socket < 0) return;
    // The child reads end of file and leaves. close() alone would not do: workers made later hold
    // this socket too.
    ::shutdown(socket, SHUT_RDWR);
    ::close(socket);
    ::waitpid(child, nullptr, 0);
  }
};

worker_process::worker_process(std::function<service()> make)
    : connection_(std::make_unique<connection>()) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
    refuse("can't make a socket for a worker process", errno);
  std::fflush(nullptr);  // or the child would print again what waits in the buffers
  [[maybe_unused]] const ::pid_t parent = ::getpid();
  const ::pid_t child = ::fork();
  if (child < 0) {
    const int code = errno;
    ::close(ends[0]);
    ::close(ends[1]);
    refuse("can't start a worker process", code);
  }
  if (child == 0) {
#if EDGERAZOR_LINUX
    // A worker does not outlive a parent that is killed in the midst of a long request.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
#endif
    ::close(ends[0]);
    service serve;
    nlohmann::json request;
    while (connection::receive(ends[1], request)) {
      if (!connection::send(ends[1], answer(serve, make, request))) break;
    }
    std::fflush(nullptr);
    ::_exit(0);  // the parent's objects are not this process's to destroy
  }
  ::close(ends[1]);
  connection_->socket = ends[0];
  connection_->child = child;
}

nlohmann::json worker_process::ask(const nlohmann::json& request) {
  nlohmann::json reply;
  if (!connection::send(connection_->socket, request) ||
      !connection::receive(connection_->socket, reply)) {
    throw std::runtime_error("a worker process ended before it had answered (out of memory?)");
  }
  if (reply.contains("error")) throw std::runtime_error(reply["error"].get<std::string>());
  return reply["answer"];
}

bool worker_process::isolated() noexcept { return true; }

#else

struct worker_process::connection {
  std::function<service()> make;
  service serve;
};

worker_process::worker_process(std::function<service()> make)
    : connection_(std::make_unique<connection>()) {
  connection_->make = std::move(make);
}

nlohmann::json worker_process::ask(const nlohmann::json& request) {
  const nlohmann::json reply = answer(connection_->serve, connection_->make, request);
  if (reply.contains("error")) throw std::runtime_error(reply["error"].get<std::string>());
  return reply["answer"];
}

bool worker_process::isolated() noexcept { return false; }

#endif

worker_process::worker_process(worker_process&&) noexcept = default;
worker_process::~worker_process() = default;

}  // namespace llm
