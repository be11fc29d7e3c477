// SPDX-License-Identifier: Apache-2.0
/// The list of kernels and the choice from it.
#include <cstdlib>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("kernel/dispatch");

TEST_CASE("dispatch: kernels have names of their own, and all their functions") {
  std::set<std::string_view> names;
  for (const er::detail::kernel::functions* k : er::detail::product::known_kernels()) {
    CAPTURE(k->name);
    names.insert(k->name);
    CHECK((k->supported != nullptr));
    CHECK(er::detail::kernel::is_complete(*k));
  }
  CHECK(names.size() == er::detail::product::known_kernels().size());
}

TEST_CASE(
    "dispatch: available are those that the processor can run, in the list's order, scalar last") {
  const std::span<const er::kernel> available = er::available_kernels();
  REQUIRE(!available.empty());
  CHECK(available.back().name == "scalar");
  std::size_t next = 0;
  for (const er::detail::kernel::functions* k : er::detail::product::known_kernels()) {
    if (!k->supported()) {
      CHECK(er::find_kernel(k->name) == nullptr);
      continue;
    }
    REQUIRE(next < available.size());
    CHECK(available[next].name == k->name);
    CHECK(available[next].functions == k);
    CHECK(er::find_kernel(k->name) == &available[next]);
    ++next;
  }
  CHECK(next == available.size());
  CHECK(&er::best_kernel() == &available.front());
  CHECK(er::find_kernel("no such kernel") == nullptr);
  CHECK(er::available_kernels().data() == available.data());
}

TEST_CASE("dispatch: chosen is the kernel that this machine is known to run fastest") {
  const char* expected =
      std::getenv("EDGERAZOR_EXPECTED_KERNEL");  // set where the processor is emulated
  if (expected) CHECK(er::best_kernel().name == std::string_view(expected));
}

TEST_CASE("dispatch: the kernels of this machine" * doctest::description("to be read in the log")) {
  std::string names;
  for (const er::kernel& k : er::available_kernels()) names += ' ' + std::string{k.name};
  MESSAGE("tested:" << names);
  CHECK(!names.empty());
}

TEST_SUITE_END();
