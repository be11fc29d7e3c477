// SPDX-License-Identifier: Apache-2.0
/// A model that was calibrated, trained on (calibrated_grid.hpp). With a group's scale s and zero
/// z, neither of which moves,
///
///     code     round(w / s + z), ties to even, kept within the format's codes
///     value    s (code - z)
///
/// or with a minimum m in place of z round((w - m) / s) and s code + m. The rounding is the
/// identity for gradients.
///
/// Step 0 is the calibrated model. Each weight starts where it rounds to the code that calibration
/// chose, and as near to the teacher's as that allows: within 3/8 of s of the code's value, where
/// the next code's begins at 1/2. From the value itself no weight would come to another code in
/// fewer steps than a distance of s / 2 takes, and all would come there at once.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "calibrated_grid.hpp"
#include "layer_form.hpp"
#include "llm/checkpoint.hpp"
#include "llm/thread_pool.hpp"
#include "llm/weight_source.hpp"
#include <edgerazor/core/printable.hpp>
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/recipe.hpp>

namespace qad {

namespace {

/// Nearest integers, ties to even, of |x| <= 255.
float rounded(float x) noexcept {
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23
  return (x + shift) - shift;
}

/// put(i, code of weight i) of one group. Where the scale is 0 every code is the same number.
template <class Put>
void for_each_code(std::span<const float> weights, er::zero_kind kind, float scale, float zero,
                   const er::detail::policy::level_range& range, const Put& put) {
  const auto least = static_cast<float>(range.low), most = static_cast<float>(range.high);
  const float minimum = kind == er::zero_kind::minimum ? zero : 0,
              point = kind == er::zero_kind::point ? zero : 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const float at = scale == 0 ? 0 : (weights[i] - minimum) / scale + point;
    put(i, rounded(std::clamp(at, least, most)));
  }
}

float value_at(er::zero_kind kind, float code, float scale, float zero) noexcept {
  namespace policy = er::detail::policy;
  return kind == er::zero_kind::minimum
             ? policy::value_of<er::zero_kind::minimum>(code, scale, zero)
             : policy::value_of<er::zero_kind::point>(code, scale, zero);
}

class calibrated_form final : public layer_form {
 public:
  calibrated_form(const shape& s, std::shared_ptr<const calibrated_grids> grids)
      : entries_(weight_layout(s)), grids_(std::move(grids)) {
    if (grids_ == nullptr || grids_->size() != entries_.size()) {
      throw std::invalid_argument(
          "the recipe calibrated keeps the scales of a calibrated model, and none of this shape "
          "was given");
    }
    for (const matrix_grid& grid : *grids_) {
      if (!grid.scales.empty()) group_ = grid.fmt.group;
    }
  }

  /// Where vectors are not the teacher's, columns were scaled (AWQ), and its weights say nothing of
  /// the start's.
  void start(parameters& master, const weight_pages<float>& teacher) const override {
    const shape& s = master.shape();
    std::vector<float> room;
    bool scaled = false;
    // visit(entry, its weights in the teacher), entries in order.
    const auto for_each_entry = [&](const auto& visit) {
      for (std::size_t i = 0; i < entries_.size();) {
        const std::size_t begin = entries_[i].offset;
        std::size_t block = 0;
        while (block <= s.layers && block_offset(s, block) <= begin) ++block;
        const std::size_t end = block <= s.layers ? block_offset(s, block) : master.values().size();
        const float* const page = block == 0          ? teacher.embedding()
                                  : block <= s.layers ? teacher.block(block - 1, room)
                                                      : teacher.tail();
        for (; i < entries_.size() && entries_[i].offset < end; ++i)
          visit(i, std::span{page + (entries_[i].offset - begin), entries_[i].size()});
      }
    };
    for_each_entry([&](std::size_t i, std::span<const float> of_teacher) {
      const weight_entry& e = entries_[i];
      scaled =
          scaled || (e.is_vector() &&
                     !std::ranges::equal(master.values().subspan(e.offset, e.size()), of_teacher));
    });
    if (scaled) return;
    for_each_entry([&](std::size_t i, std::span<const float> of_teacher) {
      const weight_entry& e = entries_[i];
      const matrix_grid& grid = (*grids_)[i];
      const std::span<float> own = master.values().subspan(e.offset, e.size());
      for_each_group(i, [&](std::size_t at, std::size_t size, float scale, float zero) {
        const float most = 0.375f * std::fabs(scale);
        for_each_code(std::span<const float>{own}.subspan(at, size), grid.fmt.zero, scale, zero,
                      er::detail::matrix::levels_of(grid.fmt), [&](std::size_t c, float code) {
                        const float value = value_at(grid.fmt.zero, code, scale, zero);
                        own[at + c] = value + std::clamp(of_teacher[at + c] - value, -most, most);
                      });
      });
    });
  }

  void apply(std::size_t i, const parameters& master, parameters& out, std::size_t) const override {
    const weight_entry& e = entries_[i];
    const std::span<const float> from = master.values().subspan(e.offset, e.size());
    const std::span<float> to = out.values().subspan(e.offset, e.size());
    const matrix_grid& grid = (*grids_)[i];
    if (grid.scales.empty()) {
      std::ranges::copy(from, to.begin());
      return;
    }
    er::detail::policy::check_finite(er::matrix_view<const float>{from.data(), e.rows, e.cols});
    for_each_group(i, [&](std::size_t at, std::size_t size, float scale, float zero) {
      const er::zero_kind kind = grid.fmt.zero;
      float* const values = to.data() + at;
      for_each_code(
          from.subspan(at, size), kind, scale, zero, er::detail::matrix::levels_of(grid.fmt),
          [&](std::size_t c, float code) { values[c] = value_at(kind, code, scale, zero); });
    });
  }
  state_quantization states(std::size_t) const override { return {.activation_group = group_}; }

  er::any_matrix packed(std::size_t i, const parameters& master) const override {
    const weight_entry& e = entries_[i];
    const matrix_grid& grid = (*grids_)[i];
    const std::span<const float> from = master.values().subspan(e.offset, e.size());
    std::vector<std::int16_t> codes(e.size());
    for_each_group(i, [&](std::size_t at, std::size_t size, float scale, float zero) {
      for_each_code(from.subspan(at, size), grid.fmt.zero, scale, zero,
                    er::detail::matrix::levels_of(grid.fmt), [&](std::size_t c, float code) {
                      codes[at + c] = static_cast<std::int16_t>(code);
                    });
    });
    const auto numbers = [&](const std::vector<float>& all) {
      return all.empty() ? er::matrix_view<const float>{}
                         : er::matrix_view<const float>{all.data(), e.rows, grid.groups};
    };
    return er::pack_levels(grid.fmt,
                           er::matrix_view<const std::int16_t>{codes.data(), e.rows, e.cols},
                           numbers(grid.scales), numbers(grid.zeros));
  }

 private:
  /// visit(its first weight in the matrix, how many, scale, zero).
  template <class Visit>
  void for_each_group(std::size_t i, const Visit& visit) const {
    const weight_entry& e = entries_[i];
    const matrix_grid& grid = (*grids_)[i];
    for (std::size_t r = 0; r < e.rows; ++r) {
      for (std::size_t g = 0; g < grid.groups; ++g) {
        const std::size_t begin = g * grid.fmt.group, which = r * grid.groups + g;
        visit(r * e.cols + begin, std::min<std::size_t>(grid.fmt.group, e.cols - begin),
              grid.scales[which], grid.zeros.empty() ? 0 : grid.zeros[which]);
      }
    }
  }

  std::vector<weight_entry> entries_;
  std::shared_ptr<const calibrated_grids> grids_;
  std::size_t group_ = 0;
};

matrix_grid grid_of(const std::string& name, const er::any_matrix& matrix) {
  const er::matrix_part part = matrix.sum() ? er::matrix_part{} : matrix.part();
  const er::packed_view* const codes = matrix.sum() ? nullptr : part.packed();
  const er::codec_info* const codec =
      codes == nullptr ? nullptr : &er::codec_of(codes->layout().fmt().code);
  if (codec == nullptr || codec->of_table() || codec->level_step != 1 ||
      codes->layout().two_level() || codes->layout().fmt().group == 0) {
    throw er::io_error(er::quoted(name) + " is " + matrix.fmt().name() +
                       ", expected codes with a scale for each group of columns");
  }
  const er::format& fmt = codes->layout().fmt();
  matrix_grid result{fmt, codes->layout().groups(), {}, {}};
  const std::size_t count = matrix.rows() * result.groups;
  result.scales.resize(count);
  er::unpack_scales(*codes, {result.scales.data(), matrix.rows(), result.groups});
  if (fmt.zero == er::zero_kind::none) return result;
  result.zeros.resize(count);
  er::unpack_zeros(*codes, {result.zeros.data(), matrix.rows(), result.groups});
  return result;
}

}  // namespace

std::shared_ptr<const calibrated_grids> read_grids(const std::filesystem::path& model,
                                                   const shape& s) {
  const std::vector<weight_entry> entries = weight_layout(s);
  const std::shared_ptr<const llm::checkpoint> file = llm::checkpoint::open(model);
  llm::thread_pool threads(1);
  const er::recipe none;  // weights stay as they are
  llm::file_weights weights(*file, none, threads);
  auto result = std::make_shared<calibrated_grids>(entries.size());
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const weight_entry& e = entries[i];
    if (e.is_vector()) continue;
    matrix_grid& grid = (*result)[i] = grid_of(e.name, weights.matrix(e.name, e.rows, e.cols));
    if (group == 0) group = grid.fmt.group;
    if (grid.fmt.group != group) {
      throw er::io_error(er::quoted(e.name) + " has groups of " + std::to_string(grid.fmt.group) +
                         " columns, expected those of " + std::to_string(group) +
                         " that others have");
    }
  }
  return result;
}

std::unique_ptr<const layer_form> make_calibrated_form(const shape& s,
                                                       const training_options& options) {
  return std::make_unique<calibrated_form>(s, options.grids);
}

}  // namespace qad
