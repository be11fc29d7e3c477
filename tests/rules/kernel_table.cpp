// SPDX-License-Identifier: Apache-2.0
// docs/kernels.md, as dispatch.hpp's list has it.
//
//   kernel_table <file>           fails unless the file's tables are what this build's list says
//   kernel_table --write <file>   makes them so
//
// A build holds the kernels of its own architecture, so it answers for two sections of the file,
// that architecture's and the one for every machine; the others are left as they are. Order, names
// and which functions are whose come from the list. What a processor must have and what multiplies
// the bytes is told here, once for every name, and a kernel without it is an error.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;
using kernel_functions = er::detail::kernel::functions;

namespace {

struct description {
  std::string_view name, header, processor, products;
};
// clang-format off
constexpr std::array descriptions{
    description{"avx512vbmi", "x86/avx512vbmi.hpp", "AVX-512 F, BW, VL, VNNI, VBMI: Ice Lake, Zen 4 and later",
                "`vpdpbusd`, 16 rows x 4 columns; base 3 decoded by `vpermi2b`"},
    description{"avx512vnni", "x86/avx512vnni.hpp", "AVX-512 F, BW, VL, VNNI: Cascade Lake and later",
                "`vpdpbusd`, 16 rows x 4 columns"},
    description{"avxvnni", "x86/avxvnni.hpp", "AVX-VNNI, AVX2, FMA, F16C: Alder Lake, Zen 5 and later",
                "`vpdpbusd`, 8 rows x 4 columns"},
    description{"avx2", "x86/avx2.hpp", "AVX2, FMA, F16C: Haswell, Zen and later",
                "`vpmaddubsw` in 16 bits, no more of them than a `static_assert` allows, then `vpmaddwd`; ternary codes of several tokens are looked up, `look_up`"},
    description{"ssse3", "x86/ssse3.hpp", "SSSE3: Core 2, Bulldozer and later",
                "codes in threes and those of a group's table looked up by `pshufb`, these multiplied by `pmaddubsw`; others as `generic` does"},
    description{"i8mm", "arm/i8mm.hpp", "FEAT_I8MM: Armv8.6, Neoverse V1 and N2, Apple M2 and later",
                "`usmmla`, 2 rows x 2 tokens x 8 columns"},
    description{"dotprod", "arm/dotprod.hpp", "FEAT_DotProd: Armv8.4, Cortex-A55 and A76 and later",
                "`sdot` by lane, 4 rows x 4 columns"},
    description{"neon", "arm/neon.hpp", "every AArch64 processor", "`smlal` and `smlal2` in 16 bits, no more of them than a `static_assert` allows, then `saddlp`; ternary codes of several tokens are looked up, `look_up`"},
    description{"generic", "portable/generic.hpp", "any; vectors of the build's own instruction set, through xsimd",
                "multiplies of 16 or 32 bits, as xsimd has them"},
    description{"scalar", "portable/scalar.hpp", "any", "one by one: the reference implementation that the others are compared with"},
};
// clang-format on

const description* describe(std::string_view name) {
  const auto found = std::find_if(descriptions.begin(), descriptions.end(),
                                  [name](const description& d) { return d.name == name; });
  return found == descriptions.end() ? nullptr : &*found;
}

/// A function of the table, whether two kernels have the same one, and whether one has it at all.
struct function {
  std::string_view name;
  std::string_view plane;  ///< of one per plane
  bool (*same)(const kernel_functions&, const kernel_functions&);
  bool (*present)(const kernel_functions&) = [](const kernel_functions&) { return true; };
};
template <auto Member>
bool same(const kernel_functions& a, const kernel_functions& b) {
  return a.*Member == b.*Member;
}
template <auto Member, std::size_t Plane>
bool same_of_plane(const kernel_functions& a, const kernel_functions& b) {
  return (a.*Member)[Plane] == (b.*Member)[Plane];
}

template <auto Member>
void add_planes(std::vector<function>& functions, std::string_view name) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (functions.push_back({name, er::plane_list[I].name, &same_of_plane<Member, I>}), ...);
  }(std::make_index_sequence<er::plane_list.size()>{});
}

std::vector<function> all_functions() {
  std::vector<function> functions;
  add_planes<&kernel_functions::dot>(functions, "dot");
  add_planes<&kernel_functions::unpack>(functions, "unpack");
  functions.push_back({"triple_tables", {}, &same<&kernel_functions::triple_tables>});
  functions.push_back({"triple_dot", {}, &same<&kernel_functions::triple_dot>});
  functions.push_back({"triple_unpack", {}, &same<&kernel_functions::triple_unpack>});
  functions.push_back({"panel_product", {}, &same<&kernel_functions::panel_product>});
  functions.push_back(
      {"look_up", {}, &same<&kernel_functions::look_up>, [](const kernel_functions& k) {
         return static_cast<bool>(k.look_up);
       }});
  functions.push_back({"panel_float", {}, &same<&kernel_functions::panel_float>});
  functions.push_back({"scale_sums", {}, &same<&kernel_functions::scale_sums>});
  functions.push_back({"read_scales", {}, &same<&kernel_functions::read_scales>});
  functions.push_back({"scale_floats", {}, &same<&kernel_functions::scale_floats>});
  functions.push_back({"dense_float", {}, &same<&kernel_functions::dense_float>});
  functions.push_back({"dense_float16", {}, &same<&kernel_functions::dense_float16>});
  functions.push_back({"dense_bfloat16", {}, &same<&kernel_functions::dense_bfloat16>});
  functions.push_back({"max_magnitude", {}, &same<&kernel_functions::max_magnitude>});
  functions.push_back({"quantize", {}, &same<&kernel_functions::quantize>});
  functions.push_back({"weighted_sum", {}, &same<&kernel_functions::weighted_sum>});
  functions.push_back({"exponentials", {}, &same<&kernel_functions::exponentials>});
  return functions;
}

/// The kernel whose function it is: the one nearest to the reference implementation that has it
/// too.
std::string_view owner(std::size_t index, const function& f) {
  std::size_t last = index;
  for (std::size_t i = index + 1; i < er::detail::product::known_kernels().size(); ++i) {
    if (f.same(*er::detail::product::known_kernels()[i],
               *er::detail::product::known_kernels()[index]))
      last = i;
  }
  return er::detail::product::known_kernels()[last]->name;
}

/// Those that the kernel at `index` has.
std::vector<function> functions_of(std::size_t index) {
  std::vector<function> functions = all_functions();
  std::erase_if(functions, [index](const function& f) {
    return !f.present(*er::detail::product::known_kernels()[index]);
  });
  return functions;
}

/// "all", or "`dot`, `unpack` (base3)": functions that the kernel at `index` has from `from`.
std::string functions_from(std::size_t index, std::string_view from) {
  const std::vector<function> functions = functions_of(index);
  std::string text;
  bool all = true;
  for (std::size_t i = 0; i < functions.size();) {
    std::size_t end = i + 1;
    while (end < functions.size() && functions[end].name == functions[i].name) ++end;
    std::string planes;
    std::size_t count = 0;
    for (std::size_t f = i; f < end; ++f) {
      if (owner(index, functions[f]) != from) continue;
      ++count;
      planes.append(planes.empty() ? "" : ", ").append(functions[f].plane);
    }
    all = all && count == end - i;
    if (count > 0) text.append(text.empty() ? "`" : ", `").append(functions[i].name).append("`");
    if (count > 0 && count < end - i) text.append(" (").append(planes).append(")");
    i = end;
  }
  return all ? "all" : text;
}

/// The other kernels that have functions in this one's table.
std::string lenders(std::size_t index) {
  std::vector<std::string_view> names;
  for (const function& f : functions_of(index)) {
    const std::string_view name = owner(index, f);
    if (name != er::detail::product::known_kernels()[index]->name &&
        std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  }
  std::string text;
  for (const std::string_view name : names)
    text.append(text.empty() ? "`" : ", `").append(name).append("`");
  return text;
}

bool on_every_machine(std::string_view name) { return name == "generic" || name == "scalar"; }

std::string table(bool every_machine) {
  std::string text =
      "| kernel | processor | bytes are multiplied by | functions of its own | the others from |\n"
      "| --- | --- | --- | --- | --- |\n";
  for (std::size_t i = 0; i < er::detail::product::known_kernels().size(); ++i) {
    const std::string_view name = er::detail::product::known_kernels()[i]->name;
    if (on_every_machine(name) != every_machine) continue;
    const description& what = *describe(name);
    text.append("| [`")
        .append(name)
        .append("`](../include/edgerazor/kernel/")
        .append(what.header)
        .append(") | ");
    text.append(what.processor).append(" | ").append(what.products).append(" | ");
    text.append(functions_from(i, name)).append(" | ").append(lenders(i)).append(" |\n");
  }
  return text;
}

struct section {
  std::string heading, text;
};

std::vector<section> sections_of_this_build() {
  std::vector<section> sections;
  if constexpr (EDGERAZOR_X86) sections.push_back({"## x86-64\n", table(false)});
  if constexpr (EDGERAZOR_ARM64) sections.push_back({"## AArch64\n", table(false)});
  sections.push_back({"## Every machine\n", table(true)});
  return sections;
}

/// Where the table below a heading begins and ends; npos where it has none.
struct place {
  std::size_t begin = std::string::npos, end = std::string::npos;
};
place find_table(const std::string& text, const std::string& heading) {
  const std::size_t at = text.find(heading);
  if (at == std::string::npos) return {};
  const std::size_t next = std::min(text.find("\n## ", at + 1), text.size());
  const std::size_t begin = text.find("\n|", at);
  if (begin == std::string::npos || begin > next) return {};
  std::size_t end = begin + 1;
  while (end < text.size() && text[end] == '|')
    end = std::min(text.find('\n', end), text.size() - 1) + 1;
  return {begin + 1, end};
}

}  // namespace

int main(int argc, char** argv) {
  const bool write = argc == 3 && std::strcmp(argv[1], "--write") == 0;
  if (argc != 2 && !write) {
    std::fprintf(stderr, "kernel_table [--write] <file>\n");
    return 2;
  }
  for (const kernel_functions* kernel : er::detail::product::known_kernels()) {
    if (describe(kernel->name)) continue;
    std::fprintf(stderr, "the kernel %s has no description in kernel_table.cpp\n",
                 std::string{kernel->name}.c_str());
    return 1;
  }
  const char* const path = argv[argc - 1];
  std::string text;
  {
    std::ifstream file(path, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  const std::string before = text;
  for (const section& wanted : sections_of_this_build()) {
    const place at = find_table(text, wanted.heading);
    if (at.begin == std::string::npos) {
      std::fprintf(stderr, "%s has no table below the heading %s", path, wanted.heading.c_str());
      return 1;
    }
    text.replace(at.begin, at.end - at.begin, wanted.text);
  }
  if (text == before) return 0;
  if (!write) {
    std::fprintf(stderr,
                 "%s is not what the list of kernels says; `kernel_table --write %s` makes it so\n",
                 path, path);
    return 1;
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  return file.good() ? 0 : 1;
}
