// SPDX-License-Identifier: Apache-2.0
// LBLLM (arXiv 2604.19167), the start of its training: a sign S and a bit T that says which of two
// scales and offsets a weight has, four free levels a group; activations of 4 bits with a zero.
//
//     w = c1 + cs S + ct T + cst S T
//
// The levels are stored as a table of the group, integers times its scale, and 2 bits a weight; or
// as three planes of one bit, and c1 times the sum of a group's activations as U (V x).
#include "problem.hpp"

using namespace systems;

namespace {
constexpr std::size_t group = 128;

er::any_matrix in_planes(const er::four_level_matrix& m) {
  const er::level_grid grid = grid_of("binary_g128");
  er::rounded_matrix s(m.rows, m.cols, grid), t = s, st = s;
  std::vector<float> offsets;
  for (const er::four_levels& l : m.levels) {
    offsets.push_back((l[3] + l[2] + l[1] + l[0]) / 4);
    const std::size_t at = offsets.size() - 1;
    s.scales[at] = (l[3] + l[2] - l[1] - l[0]) / 4;
    t.scales[at] = (l[3] - l[2] - l[1] + l[0]) / 4;
    st.scales[at] = (l[3] - l[2] + l[1] - l[0]) / 4;
  }
  for (std::size_t i = 0; i < m.codes.size(); ++i) {
    const std::uint8_t code = m.codes[i];
    s.levels[i] = code >= 2 ? 1 : -1;
    t.levels[i] = code == er::bitmap_code(code >= 2, true) ? 1 : -1;
    st.levels[i] = static_cast<std::int16_t>(s.levels[i] * t.levels[i]);
  }
  er::rounded_matrix sums(m.groups(), m.cols, grid_of("ternary2_g128"));
  for (float& scale : sums.scales) scale = 1;
  for (std::size_t c = 0; c < m.cols; ++c) sums.levels[c / group * m.cols + c] = 1;
  const er::any_matrix one = pack("binary_g128", s), two = pack("binary_g128", t),
                       three = pack("binary_g128", st), v = pack("ternary2_g128", sums),
                       u = er::any_matrix::pack(
                           er::matrix_format::parse("f16").value(),
                           er::matrix_view<const float>{offsets.data(), m.rows, m.groups()});
  return er::any_matrix::joined(er::sum_of{one, two, three, er::low_rank{u, v}});
}
}  // namespace

int main(int argc, char** argv) {
  const problem p(argc, argv);
  const er::prepare_options real{.quantized = false}, four{.policy = er::integer_zero<4>{}};
  const auto packed = [&](const char* format) {
    return er::any_matrix::pack(er::matrix_format::parse(format).value(), p.view());
  };
  const std::vector<float> squares = p.moments.mean_squares();
  const er::four_level_matrix fit = er::fit_four_levels(p.view(), group, squares);
  const er::any_matrix lbllm = pack("table2_g128", er::round_to_tables(p.view(), fit, squares));
  const er::any_matrix planes = in_planes(fit);
  bool better = true;
  for (const auto& [name, options] : {std::pair{"real activations:", real}, {"4 bits:", four}}) {
    std::printf("%s\n", name);
    const double binary = report(p, "one bit", packed("binary_g128"), options);
    const double ternary = report(p, "ternary", packed("ternary2_g128"), options);
    const double extremes = report(p, "2 bits, least and largest", packed("int2z_g128"), options);
    report(p, "2 bits, GPTQ, least error",
           pack("int2z_g128", er::round_by_feedback(p.view(), er::damped_inverse_factor(p.moments),
                                                    grid_of("int2z_g128"), er::fit_squared_error{})
                                  .rounded),
           options);
    report(p, "four levels, columns alike", packed("table2_g128"), options);
    report(p, "LBLLM: four levels, in planes", planes, options);
    const double levels = report(p, "LBLLM: four levels", lbllm, options);
    better = better && levels < binary && levels < ternary && levels < extremes;
  }
  return verdict("less error than one bit, three levels, or 2 bits between extremes", better);
}
