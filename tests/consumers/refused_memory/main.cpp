// SPDX-License-Identifier: Apache-2.0
// A host whose memory runs out, at whichever allocation of a call: without exceptions the error
// handler hears of it, with them the call ends by std::bad_alloc.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <edgerazor/quant.hpp>

namespace er = edgerazor;

namespace {

[[maybe_unused]] constexpr int reported = 0, past_the_handler = 2, not_refused = 3;

long allowed = -1;  // allocations until one is refused; below 0: all are allowed

bool is_refused() noexcept {
  if (allowed < 0) return false;
  return allowed-- == 0;
}
void* given(std::size_t size, std::size_t alignment) noexcept {
  if (is_refused()) return nullptr;
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}
/// Of the operators that may not return null.
void* given_or_thrown(std::size_t size, std::size_t alignment) {
  void* const memory = given(size, alignment);
  if (memory != nullptr) return memory;
#if defined(__cpp_exceptions)
  throw std::bad_alloc();
#else
  std::_Exit(past_the_handler);
#endif
}
constexpr std::size_t usual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

void hear(const char* sentence) {
  std::_Exit(std::strncmp(sentence, "out of memory: ", 15) == 0 ? reported : 1);
}

constexpr std::size_t rows = 20, cols = 96;

/// What `call` answers where its k-th allocation is refused.
template <class Call>
int answer(const Call& call, long k) {
  const pid_t child = fork();
  if (child == 0) {
    er::set_error_handler(&hear);
    allowed = k;
#if defined(__cpp_exceptions)
    try {
      call();
    } catch (const std::bad_alloc&) {
      std::_Exit(reported);
    }
#else
    call();
#endif
    std::_Exit(not_refused);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 1;
  return WEXITSTATUS(status);
}

template <class Call>
bool is_heard(const char* name, const Call& call, long least) {
  long k = 0;
  int is = reported;
  while ((is = answer(call, k)) == reported) ++k;
  const bool fine = is == not_refused && k >= least;
  if (!fine) std::printf("%s: allocation %ld ended with %d\n", name, k, is);
  return fine;
}

}  // namespace

void* operator new(std::size_t size) { return given_or_thrown(size, usual); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return given(size, usual); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return given_or_thrown(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return given(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

int main() {
  std::vector<er::float16> half;
  for (std::size_t i = 0; i < rows * cols; ++i)
    half.push_back(er::float16{static_cast<float>(i * 4 % 15) - 7.0f});
  std::vector<float> values(half.begin(), half.end()), out(values.size());
  const er::matrix_view<const er::float16> view{half.data(), rows, cols};
  const er::matrix_view<const float> floats{values.data(), rows, cols};
  const er::matrix_view<float> to{out.data(), rows, cols};
  using high = er::int4<er::per_group<32>>;
  using low = er::ternary<er::per_group<32>>;
  const auto mask = er::precision_mask(view, er::every_nth_row{8}, er::column_group{32});

  bool fine = true;
  const auto check = [&](const char* name, const auto& call, long least = 1) {
    fine = is_heard(name, call, least) && fine;
  };
  check("pack", [&] { (void)er::pack<high>(view); }, 2);
  check("pack_exact", [&] { (void)er::pack_exact<high>(view); }, 2);
  check(
      "pack_mixed", [&] { (void)er::pack_mixed<high, low>(view, er::largest_variance{0.25}); }, 4);
  check(
      "mixed_matrix",
      [&] {
        (void)er::mixed_matrix({er::code_type::int4, 32}, {er::code_type::ternary2, 32}, rows, cols,
                               mask);
      },
      3);
  const auto fmt = er::matrix_format::parse("int4_g32+ternary5_g32:every_8_rows");
  check("any_matrix", [&] { (void)er::any_matrix::pack(*fmt, view); }, 4);
  std::vector<std::uint8_t> room(mask.size());
  check("largest_variance", [&] { er::largest_variance{0.25}(floats, 32, room); }, 2);
  check("fake_quantize", [&] { er::fake_quantize(view, to, high{}); });
  check("fake_quantize, per tensor",
        [&] { er::fake_quantize(view, to, er::int8<er::per_tensor>{}); });
  check("fake_quantize_mixed",
        [&] { er::fake_quantize_mixed<high, low>(view, to, er::every_nth_row{8}); });
  check("kv_cache", [&] { (void)er::kv_cache(2, 32, 24, 16); }, 4);
  check("packed_activations", [&] { (void)er::packed_activations(64, 32, 3); });
  if (fine) std::puts("all heard");
  return fine ? 0 : 1;
}
