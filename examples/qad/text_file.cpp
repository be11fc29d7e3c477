// SPDX-License-Identifier: Apache-2.0
#include "text_file.hpp"

#include <span>

#include "support/system.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/atomic_file.hpp>

namespace qad {

namespace er = edgerazor;

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  er::atomic_file file(path);
  file.write(std::as_bytes(std::span{text}));
  file.commit();
}

nlohmann::ordered_json read_json(const std::filesystem::path& path) {
  nlohmann::ordered_json result =
      nlohmann::ordered_json::parse(support::read_text(path), nullptr, false);
  if (!result.is_object()) {
    throw er::io_error(er::quoted(path.string(), er::longest_path) +
                       " is not JSON, or no object of it");
  }
  return result;
}

}  // namespace qad
