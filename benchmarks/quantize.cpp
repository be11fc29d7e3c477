// SPDX-License-Identifier: Apache-2.0
// What a user waits for when converting, and what every token costs: float32 to packed weights,
// activations to int8.
//
//   pack/<format>/4096x4096/threads:<n>              any_matrix::pack_rows, rows handed out 64 at a time
//   activations/<groups>/<kernel>/<cols>             quantize_activations, one token, hot, one thread
//   append/head:<size>                               kv_cache::append, one position of 8 heads
//
// pack: 64 MiB of weights, more than a cache holds, so the limit is the plain read loop over the
// same memory on the same threads, in turn: percent_of_read. Every 64th row is unpacked and
// compared with the policy's own plain loop before anything is timed; activations are compared with
// the scalar kernel's, bit for bit. input_B/s counts float32.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "support/in_turn.hpp"
#include "support/program.hpp"
#include "support/random_values.hpp"
#include "support/read_bandwidth.hpp"
#include <edgerazor/matrix/default_rule.hpp>
#include <edgerazor/quant.hpp>

namespace er = edgerazor;

namespace {

constexpr std::size_t rows = 4096, cols = 4096;

/// In huge pages, as a mapped checkpoint or an owner's memory can be.
const float* weights() {
  static const er::byte_storage memory = [] {
    er::byte_storage values(rows * cols * sizeof(float));
    for (std::size_t i = 0; i < rows * cols; ++i) {
      const float value = bench::random_value(i);
      std::memcpy(values.data() + i * sizeof value, &value, sizeof value);
    }
    return values;
  }();
  return reinterpret_cast<const float*>(memory.data());
}

/// The values of a row by the policy's members, an element at a time.
template <class Policy>
std::vector<float> plain_row(const Policy& policy, const float* row, const er::format& fmt) {
  const auto stored = [&fmt](float x) { return er::detail::matrix::round_scale(x, fmt.scale); };
  std::vector<float> values(cols);
  const std::size_t group = fmt.group == 0 ? cols : fmt.group;
  for (std::size_t c = 0; c < cols; c += group) {
    const std::span<const float> part{row + c, std::min(group, cols - c)};
    if constexpr (er::zero_quantizer<Policy>) {
      const er::group_fit fit = policy.fit(part);
      for (std::size_t i = 0; i < part.size(); ++i) {
        values[c + i] = er::detail::policy::value_of<Policy::zero>(
            static_cast<float>(Policy::code(part[i], fit)), stored(fit.scale), stored(fit.zero));
      }
    } else if constexpr (er::table_quantizer<Policy>) {
      const er::table_fit fit = policy.fit(part);
      const er::detail::policy::table_line level(fit);
      for (std::size_t i = 0; i < part.size(); ++i)
        values[c + i] = static_cast<float>(level(part[i])) * stored(fit.scale);
    } else {
      const float scale = policy.scale(part);
      for (std::size_t i = 0; i < part.size(); ++i)
        values[c + i] = static_cast<float>(Policy::level(part[i], scale)) * stored(scale);
    }
  }
  return values;
}

bool row_is_right(const er::any_matrix& packed, std::size_t row) {
  const er::matrix_format& fmt = packed.fmt();
  std::vector<float> unpacked(cols), expected(cols);
  er::look_up_row(packed, row, std::span{unpacked});
  const float* const original = weights() + row * cols;
  if (packed.is_dense()) {
    for (std::size_t c = 0; c < cols; ++c)
      expected[c] = er::detail::matrix::round_scale(original[c], fmt.element);
  } else {
    const bool first =
        fmt.type == er::matrix_format::kind::packed || row % fmt.map.n < fmt.map.below;
    const er::format& of_row = first ? fmt.first : fmt.second;
    er::detail::matrix::with_default_rule(
        of_row, [&](const auto& policy) { expected = plain_row(policy, original, of_row); });
  }
  return unpacked == expected;
}

void pack(benchmark::State& state, const std::string& format, std::size_t thread_count) {
  er::any_matrix packed = er::any_matrix::empty(*er::matrix_format::parse(format), rows, cols);
  bench::spinning_threads threads(thread_count);
  const auto pack_all = [&] {
    const std::size_t grain = thread_count == 1 ? rows : 64;
    threads.run(rows / grain, [&](std::size_t i) {
      packed.pack_rows(i * grain, er::matrix_view{weights() + i * grain * cols, grain, cols});
    });
  };
  pack_all();
  for (std::size_t row = 0; row < rows; row += 63) {
    if (!row_is_right(packed, row))
      return state.SkipWithError("a row differs from the plain loop's");
  }
  const std::span<const std::byte> input{reinterpret_cast<const std::byte*>(weights()),
                                         rows * cols * sizeof(float)};
  std::vector<double> seconds, rates, read_rates, cycles;
  const bench::busy undisturbed(thread_count);
  for (int pass = 0; pass < 11; ++pass) {
    const double clock = bench::clock_rate(thread_count);
    seconds.push_back(bench::seconds_of(pack_all, thread_count));
    rates.push_back(static_cast<double>(input.size()) / seconds.back());
    read_rates.push_back(
        static_cast<double>(input.size()) /
        bench::seconds_of([&] { bench::read_once(threads, input); }, thread_count));
    cycles.push_back(seconds.back() * clock * static_cast<double>(thread_count) /
                     (double{rows} * cols));
  }
  state.counters["busy_percent"] = undisturbed.percent();
  for (auto _ : state) state.SetIterationTime(bench::median(seconds));
  state.counters["input_B/s"] = bench::median(rates);
  state.counters["percent_of_read"] = 100 * bench::median_ratio(rates, read_rates);
  state.counters["cycles/weight"] = bench::median(cycles);
  state.counters["bits/weight"] = packed.bits_per_weight();
  state.counters["spread_percent"] = 100 * bench::spread(seconds);
}

/// Medians of 31 passes of about 2 ms; `bytes` of float32 a call.
template <class Work>
void measure_hot(benchmark::State& state, double bytes, const Work& work) {
  const std::size_t calls = bench::calls_for(2e-3, work);
  std::vector<double> seconds, rates, cycles;
  for (int pass = 0; pass < 31; ++pass) {
    const double clock = bench::clock_rate();
    seconds.push_back(bench::seconds_a_call(calls, work));
    rates.push_back(bytes / seconds.back());
    cycles.push_back(seconds.back() * clock / (bytes / sizeof(float)));
  }
  for (auto _ : state) state.SetIterationTime(bench::median(seconds));
  state.counters["input_B/s"] = bench::median(rates);
  state.counters["cycles/element"] = bench::median(cycles);
  state.counters["spread_percent"] = 100 * bench::spread(seconds);
}

void activations(benchmark::State& state, er::activation_scales scales,
                 const std::string& kernel_name, std::size_t width) {
  const er::kernel& kernel = *er::find_kernel(kernel_name);
  const std::vector<float> x = bench::random_values(width);
  er::packed_activations packed(width, 256), expected(width, 256);
  const er::matrix_view<const float> token{x.data(), 1, width};
  const er::activation_view reference = er::quantize_activations(
      token, expected, {.scales = scales, .kernel = er::find_kernel("scalar")});
  const auto quantize = [&] {
    er::quantize_activations(token, packed, {.scales = scales, .kernel = &kernel});
  };
  quantize();
  const er::activation_view got = packed.view(1);
  if (!std::equal(reference.codes, reference.codes + width, got.codes) ||
      !std::equal(reference.scales, reference.scales + reference.groups(), got.scales) ||
      !std::equal(reference.sums, reference.sums + reference.groups(), got.sums)) {
    return state.SkipWithError("differs from the scalar kernel's");
  }
  measure_hot(state, static_cast<double>(width * sizeof(float)), quantize);
}

/// Positions are appended up to 1024, then anew.
void append(benchmark::State& state, std::size_t head_size) {
  constexpr std::size_t heads = 8, positions = 1024;
  er::kv_cache cache(heads, head_size, positions);
  const std::vector<float> keys = bench::random_values(heads * head_size, 1),
                           values = bench::random_values(keys.size(), 2);
  cache.append(keys, values);
  const er::int8<er::per_channel> rule;
  const float scale = rule.scale(std::span{values}.first(head_size));
  for (std::size_t c = 0; c < head_size; ++c) {
    if (cache.values(0)[c] != rule.level(values[c], scale))
      return state.SkipWithError("differs from the plain loop's");
  }
  measure_hot(state, static_cast<double>(2 * keys.size() * sizeof(float)), [&] {
    if (cache.size() == positions) cache.truncate(0);
    cache.append(keys, values);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const bench::arguments arguments = bench::arguments::take(argc, argv);
  std::vector<std::string> formats;
  for (const char* code : {"ternary2", "ternary5", "int4", "int8"}) {
    for (const char* group : {"_g32", "_g64", "_g128", "_g256", "_row"}) {
      const std::string format = std::string{code} + group;
      if (arguments.all || format.ends_with("_g64") || format.ends_with("_g256"))
        formats.push_back(format);
    }
  }
  formats.insert(formats.end(), {"int4_g256+ternary5_g256:every_8_rows",
                                 "int4_g256+ternary5_g256:every_2_rows", "f16", "bf16"});
  for (const std::string& format : formats) {
    for (const std::size_t threads : bench::thread_counts()) {
      bench::add("pack/" + format + "/4096x4096/" + bench::threads_name(threads),
                 [=](benchmark::State& state) { pack(state, format, threads); });
    }
  }
  for (const std::string& kernel : arguments.kernels()) {
    for (const std::size_t width : {1024, 4096}) {
      bench::add("activations/of_groups/" + kernel + '/' + std::to_string(width),
                 [=](benchmark::State& state) {
                   activations(state, er::activation_scales::of_groups, kernel, width);
                 });
      bench::add("activations/of_token/" + kernel + '/' + std::to_string(width),
                 [=](benchmark::State& state) {
                   activations(state, er::activation_scales::of_token, kernel, width);
                 });
    }
  }
  for (const std::size_t head_size : {64, 128}) {
    bench::add("append/head:" + std::to_string(head_size),
               [=](benchmark::State& state) { append(state, head_size); });
  }
  return bench::run(argc, argv);
}
