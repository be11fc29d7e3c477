// SPDX-License-Identifier: Apache-2.0
/// Metadata values as C++ values.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/io/gguf_format.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

template <class T>
[[nodiscard]] T load(const std::byte* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

[[noreturn]] inline void fail_type(const metadata_entry& entry, std::string_view wanted) {
  std::string has{name_of(entry.type)};
  if (entry.type == gguf_type::array) has += " of " + std::string{name_of(entry.element)};
  core::fail_io("key " + quoted(entry.key) + ": expected " + std::string{wanted} +
                ", the file has " + has);
}

/// Stored integer `value` as a T; fails where it does not fit.
template <std::integral T, std::integral Stored>
[[nodiscard]] T fit(const metadata_entry& entry, Stored value) {
  if (std::in_range<T>(value)) return static_cast<T>(value);
  core::fail_io("key " + quoted(entry.key) + ": " + std::to_string(value) + " does not fit " +
                std::string{name_of(type_of<T>)});
}

/// use(n) for the integer n of that type at `at`; false where the type is none of integers.
template <class Use>
bool with_integer(gguf_type type, const std::byte* at, Use&& use) {
  switch (type) {
    case gguf_type::u8:
      return use(load<std::uint8_t>(at)), true;
    case gguf_type::i8:
      return use(load<std::int8_t>(at)), true;
    case gguf_type::u16:
      return use(load<std::uint16_t>(at)), true;
    case gguf_type::i16:
      return use(load<std::int16_t>(at)), true;
    case gguf_type::u32:
      return use(load<std::uint32_t>(at)), true;
    case gguf_type::i32:
      return use(load<std::int32_t>(at)), true;
    case gguf_type::u64:
      return use(load<std::uint64_t>(at)), true;
    case gguf_type::i64:
      return use(load<std::int64_t>(at)), true;
    default:
      return false;
  }
}

/// Element `index` as a T. Integers of every width and sign are taken where the value fits,
/// floating point where the file has it; nothing turns from one into the other, or into a bool.
template <gguf_scalar T>
[[nodiscard]] T element_at(const metadata_entry& entry, std::size_t index) {
  const std::byte* const at = entry.value.data() + index * size_of(entry.element);
  if constexpr (std::same_as<T, bool>) {
    if (entry.element == gguf_type::boolean) return *at != std::byte{0};
  } else if constexpr (std::floating_point<T>) {
    if (entry.element == gguf_type::f32) return static_cast<T>(load<float>(at));
    if (entry.element == gguf_type::f64) {
      const auto value = load<double>(at);
      constexpr auto most = static_cast<double>(std::numeric_limits<T>::max());
      if ((std::bit_cast<std::uint64_t>(value) >> 52 & 0x7ffu) != 0x7ffu &&
          !(value >= -most && value <= most))
        core::fail_io("key " + quoted(entry.key) + ": " + std::to_string(value) + " does not fit " +
                      std::string{name_of(type_of<T>)});
      return static_cast<T>(value);
    }
  } else {
    T value{};
    if (with_integer(entry.element, at, [&](auto stored) { value = fit<T>(entry, stored); }))
      return value;
  }
  fail_type(entry, name_of(type_of<T>));
}

template <gguf_scalar T>
[[nodiscard]] T scalar_of(const metadata_entry& entry) {
  if (entry.type == gguf_type::array) fail_type(entry, name_of(type_of<T>));
  return element_at<T>(entry, 0);
}

template <gguf_scalar T>
[[nodiscard]] std::vector<T> array_of(const metadata_entry& entry) {
  if (entry.type != gguf_type::array || entry.element == gguf_type::string) {
    fail_type(entry, "array of " + std::string{name_of(type_of<T>)});
  }
  std::vector<T> values;
  values.reserve(entry.count);
  for (std::size_t i = 0; i < entry.count; ++i) values.push_back(element_at<T>(entry, i));
  return values;
}

/// The string at `at`, which moves behind it. The parser has checked the length.
[[nodiscard]] inline std::string_view next_string(const std::byte*& at) noexcept {
  const auto length = static_cast<std::size_t>(load<std::uint64_t>(at));
  const std::string_view text{reinterpret_cast<const char*>(at + sizeof(std::uint64_t)), length};
  at += sizeof(std::uint64_t) + length;
  return text;
}

[[nodiscard]] inline std::string_view string_of(const metadata_entry& entry) {
  if (entry.type != gguf_type::string) fail_type(entry, "string");
  const std::byte* at = entry.value.data();
  return next_string(at);
}

/// Views into the file: 16 bytes a string, whatever its length.
[[nodiscard]] inline std::vector<std::string_view> strings_of(const metadata_entry& entry) {
  if (entry.type != gguf_type::array || entry.element != gguf_type::string)
    fail_type(entry, "array of string");
  std::vector<std::string_view> texts;
  texts.reserve(entry.count);
  const std::byte* at = entry.value.data();
  for (std::size_t i = 0; i < entry.count; ++i) texts.push_back(next_string(at));
  return texts;
}

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
