/// The list of kernels and the choice from it.
#include <cstdlib>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;

TEST_CASE("dispatch: kernels have names of their own, and all their functions") {
  std::set<std::string_view> names;
  for (const er::kernel* k : er::detail::kernel::kernel_list) {
    CAPTURE(k->name);
    names.insert(k->name);
    CHECK((k->supported != nullptr));
    for (const auto& function : k->dot) CHECK((function != nullptr));
    for (const auto& function : k->unpack) CHECK((function != nullptr));
    for (const auto& function : k->panel_product) CHECK((function != nullptr));
    for (const auto& function : k->scale_sums) CHECK((function != nullptr));
    for (const auto& function : k->read_scales) CHECK((function != nullptr));
    for (const auto& function : k->scale_floats) CHECK((function != nullptr));
    CHECK((k->panel_float && k->dense_float && k->dense_float16 && k->dense_bfloat16));
    CHECK((k->max_magnitude && k->quantize && k->mix && k->exponentials));
  }
  CHECK(names.size() == er::detail::kernel::kernel_list.size());
}

TEST_CASE(
    "dispatch: available are those that the processor can run, in the list's order, scalar last") {
  const std::span<const er::kernel> available = er::available_kernels();
  REQUIRE(!available.empty());
  CHECK(available.back().name == "scalar");
  std::size_t next = 0;
  for (const er::kernel* k : er::detail::kernel::kernel_list) {
    if (!k->supported()) {
      CHECK(er::find_kernel(k->name) == nullptr);
      continue;
    }
    REQUIRE(next < available.size());
    CHECK(available[next].name == k->name);
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
