// SPDX-License-Identifier: Apache-2.0
// Hostile features, attention maps, projections and self-relations.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "hostile_batch.hpp"

/// Losses of one row.
template <class Loss, class Reference>
void run_single(const char* name, random_source& random, batch& b, Loss&& loss,
                Reference&& of_token) {
  set_options(random, b);
  std::vector<answer> answers;
  for (std::size_t i = 0; i < b.tokens; ++i) {
    answers.push_back(b.weight(i) == 0 ? answer{0, reference::row(b.cols, 0), 0} : of_token(i));
  }
  const er::loss_result r = loss();
  compare(name, b, r.value, answers, 1, 1);
}

/// Rows of one head.
template <class Rows>
er::rows_of_heads<Rows> heads(const Rows& rows) {
  er::rows_of_heads<Rows> result;
  result.matrix = rows;
  return result;
}

/// Probabilities.
inline void features(random_source& random) {
  batch b = make_batch(random, any_length(random));
  // Probabilities, some 0, some nearly equal, some hostile.
  for (std::size_t i = 0; i < b.student.size(); ++i) {
    b.teacher[i] =
        random.one_in(8) ? 0.0f : std::fabs(random.normal()) / static_cast<float>(b.cols);
    b.student[i] = random.one_in(8) ? random.pick({0.0f, b.teacher[i]})
                                    : b.teacher[i] * (1 + 1e-3f * random.normal());
    if (random.one_in(b.student.size() * 4))
      (random.one_in(2) ? b.student : b.teacher)[i] = random.pick({not_a_number, -0.25f, 1e-45f});
  }
  if (random.one_in(3)) set_types(random, b);
  const bool reverse = random.one_in(2);
  run_single(
      "attention_kl", random, b,
      [&] {
        const er::attention_kl loss{reverse ? er::kl_direction::reverse
                                            : er::kl_direction::forward};
        return static_cast<er::loss_result>(
            loss(heads(b.student_rows()), heads(b.teacher_rows()), b.options, heads(b.out())));
      },
      [&](std::size_t i) {
        return reference::attention(b.row(b.student, i), b.row(b.teacher, i), reverse ? 1 : 0);
      });
}

inline void hidden_losses(random_source& random) {
  batch b = make_batch(random, any_length(random));
  if (random.one_in(3)) set_types(random, b);
  if (random.one_in(8)) b.student.assign(b.student.size(), 0), b.student_as.take(0, b.student);
  if (random.one_in(2)) {
    return run_single(
        "hidden_mse", random, b,
        [&] {
          return er::hidden_mse{}(heads(b.student_rows()), heads(b.teacher_rows()), b.options,
                                  heads(b.out()));
        },
        [&](std::size_t i) {
          return reference::squared_error(b.row(b.student, i), b.row(b.teacher, i));
        });
  }
  run_single(
      "hidden_cosine", random, b,
      [&] {
        return er::hidden_cosine{}(heads(b.student_rows()), heads(b.teacher_rows()), b.options,
                                   heads(b.out()));
      },
      [&](std::size_t i) { return reference::cosine(b.row(b.student, i), b.row(b.teacher, i)); });
}

/// Compares a gradient that is no token's.
inline void compare_all(const char* loss, const char* what, const std::vector<float>& is,
                        const std::vector<float>& before, bool accumulated,
                        const reference::row& expected, const reference::row& slack,
                        const batch& b) {
  real largest = 0;
  for (const real g : expected)
    largest = std::isfinite(g) ? std::max(largest, std::fabs(g)) : largest;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const real old = accumulated ? static_cast<real>(before[i]) : 0, wanted = old + expected[i];
    const real floor = 1e-6L * largest + slack[i] + 2e-7L * std::fabs(old) + 1e-37L;
    if (std::fabs(wanted) > 3.38e38L || floor > 1e38L) continue;
    if (same_kind(static_cast<real>(is[i]), wanted) ||
        std::fabs(static_cast<real>(is[i]) - wanted) <= floor)
      continue;
    return report(loss, what, static_cast<real>(is[i]), wanted, 0, i, b, 1);
  }
}

/// hidden_mse or hidden_cosine of P s and t.
inline void projections(random_source& random) {
  const std::size_t width = 1 + random.below(40), height = 1 + random.below(40);
  batch b = make_batch(random, width);
  const std::size_t step = height + random.below(2), columns = width + random.below(2);
  const float scale = random.pick({1e-30f, 1e-3f, 1.0f, 30.0f, 1e30f});
  const auto hostile = [&](float x) {
    return random.one_in(2000) ? random.pick({not_a_number, infinity, -infinity, 3e38f, 1e-45f})
                               : x;
  };
  std::vector<float> teacher(b.tokens * step), p(height * columns), gradient(p.size(), 7.0f);
  for (float& x : teacher) x = hostile(scale * random.normal());
  for (float& x : p) x = hostile(random.one_in(4) ? 0.0f : scale * random.normal());
  if (random.one_in(4)) {
    // Nearly the student's own: errors next to nothing.
    for (std::size_t i = 0; i < b.tokens; ++i)
      for (std::size_t r = 0; r < height; ++r) {
        float sum = 0;
        for (std::size_t c = 0; c < width; ++c)
          sum += p[r * columns + c] * b.student[i * b.stride + c];
        teacher[i * step + r] = sum;
      }
  }
  set_options(random, b);
  const std::vector<float> before = gradient;
  const bool cosine = random.one_in(2);
  const char* name = cosine ? "projected{hidden_cosine}" : "projected{hidden_mse}";
  std::vector<answer> answers;
  reference::row of_p(p.size(), 0), slack_p(p.size(), 0);
  for (std::size_t i = 0; i < b.tokens; ++i) {
    answers.push_back({0, reference::row(width, 0), 0});
    if (b.weight(i) == 0) continue;
    answer& a = answers.back();
    const reference::row s = b.row(b.student, i);
    const auto first = teacher.begin() + static_cast<std::ptrdiff_t>(i * step);
    const reference::row t(first, first + static_cast<std::ptrdiff_t>(height));
    reference::row ps(height, 0);
    real off = 0, norm = 0;  // rounding of P s in double, of all rows; |P s|
    reference::row offs;
    for (std::size_t r = 0; r < height; ++r) {
      real sum = 0;
      for (std::size_t c = 0; c < width; ++c) {
        ps[r] += static_cast<real>(p[r * columns + c]) * s[c];
        sum += std::fabs(static_cast<real>(p[r * columns + c]) * s[c]);
      }
      offs.push_back(2.3e-16L * static_cast<real>(width + 2) * sum);
      off = std::max(off, offs.back());
      norm += ps[r] * ps[r];
    }
    norm = std::sqrt(norm);
    const answer of = cosine ? reference::cosine(ps, t) : reference::squared_error(ps, t);
    const auto n = static_cast<real>(height);
    a.value = of.value, a.slack = of.slack;
    real off_g = of.undecided;  // of each element of g
    if (cosine) {
      const real turned = norm == 0 ? 0 : 8 * n * off / norm;
      a.slack += turned * (1 + turned);
      off_g += norm == 0 ? 0 : turned * (1 + turned) / norm;
      if (norm <= 4 * n * off && off > 0) off_g = a.slack = reference::infinity;  // any direction
    } else {
      for (std::size_t r = 0; r < height; ++r)
        a.slack += (2 * std::fabs(ps[r] - t[r]) + offs[r]) * offs[r] / n;
    }
    const real upstream = static_cast<real>(b.upstream(i));
    for (std::size_t r = 0; r < height; ++r)
      for (std::size_t c = 0; c < width; ++c) {
        const real weight = static_cast<real>(p[r * columns + c]);
        a.gradient[c] += weight * of.gradient[r];
        const real off_here =
            off_g + (cosine ? 0 : 2 * offs[r] / n) + 4e-16L * (n + 2) * std::fabs(of.gradient[r]);
        if (std::isfinite(weight))
          a.undecided = std::max(a.undecided, n * std::fabs(weight) * off_here);
        if (upstream == 0) continue;
        of_p[r * columns + c] += upstream * of.gradient[r] * s[c];
        slack_p[r * columns + c] += std::fabs(upstream * s[c]) * off_here;
      }
    if (std::isnan(a.undecided)) a.undecided = reference::infinity;
  }
  const std::size_t room = er::projected<>::workspace_size(width, height);
  std::vector<double> workspace(room);
  const auto run = [&](const auto& loss) {
    return loss(b.student_rows(), er::matrix_view<const float>{p.data(), height, width, columns},
                er::matrix_view<const float>{teacher.data(), b.tokens, height, step}, b.options,
                b.out(), er::matrix_view<float>{gradient.data(), height, width, columns},
                workspace);
  };
  const er::loss_result r =
      cosine ? run(er::projected<er::hidden_cosine>{}) : run(er::projected<er::hidden_mse>{});
  compare(name, b, r.value, answers, 1, 1);
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (i % columns >= width) of_p[i] = b.options.accumulate ? 0 : static_cast<real>(before[i]);
  }
  compare_all(name, "the projection's gradient", gradient, before, b.options.accumulate, of_p,
              slack_p, b);
}

/// Self-relations of one or two heads, those of the teacher in groups of one or two.
inline void relations(random_source& random) {
  const std::size_t width = 1 + random.below(20), other = 1 + random.below(20),
                    heads = 1 + random.below(2), group = 1 + random.below(2);
  batch b = make_batch(random, width * heads);
  b.length = 1 + random.below(6);
  const std::size_t samples = 1 + random.below(2);
  batch sized = b;
  sized.tokens = b.length * samples;
  sized.weights.clear(), sized.labels.clear();
  const float scale = random.pick({1e-30f, 1e-3f, 0.3f, 1.0f, 3.0f});
  const auto element = [&] {
    return random.one_in(1000) ? random.pick({not_a_number, infinity, -infinity, 3e38f, 1e19f})
                               : scale * random.normal();
  };
  sized.student.resize(sized.tokens * sized.stride);
  for (float& x : sized.student) x = element();
  const std::size_t step = other * heads * group + random.below(2);
  std::vector<float> teacher(sized.tokens * step);
  for (float& x : teacher) x = element();
  if (random.one_in(3) && other == width && group == 1) {
    for (std::size_t i = 0; i < sized.tokens; ++i)
      for (std::size_t c = 0; c < width * heads; ++c)
        teacher[i * step + c] = sized.student[i * sized.stride + c] * (1 + 1e-4f * random.normal());
  }
  sized.gradient.assign(sized.student.size(), 7.0f);
  if (random.one_in(2)) {
    for (std::size_t i = 0; i < sized.tokens; ++i)
      sized.weights.push_back(random.pick({0.0f, 1.0f, 0.5f, 3.0f}));
  }
  set_options(random, sized);
  const auto direction = random.pick({er::kl_direction::forward, er::kl_direction::reverse});
  const bool parity = random.one_in(3), sums = random.one_in(2);
  const real gamma = direction == er::kl_direction::reverse ? 1 : 0;

  // ln of row i of R, of the rows of one head in a sample that begins at `begin`, and how far
  // rounding of double takes a logarithm.
  const auto relate = [&](const std::vector<float>& x, std::size_t stride, std::size_t begin,
                          std::size_t first, std::size_t size, std::size_t i, real& off) {
    reference::row z;
    for (std::size_t j = 0; j < sized.length; ++j) {
      real dot = 0, sum = 0;
      for (std::size_t c = 0; c < size; ++c) {
        const real product = static_cast<real>(x[(begin + i) * stride + first + c]) *
                             static_cast<real>(x[(begin + j) * stride + first + c]);
        dot += product, sum += std::fabs(product);
      }
      const real root = std::sqrt(static_cast<real>(size));
      z.push_back(dot / root);
      off = std::max(off, 2.3e-16L * static_cast<real>(size + 8) * sum / root);
    }
    // Whatever is infinite has no relation: NaN, as plus infinity among logits.
    for (real& v : z) v = v == -reference::infinity ? reference::nan : v;
    return reference::log_softmax(z, 1);
  };
  real value = 0, allowed = 0;
  const std::size_t columns = width * heads;
  reference::row expected(sized.gradient.size(), 0), slack(sized.gradient.size(), 0);
  for (std::size_t i = 0; i < sized.tokens; ++i) {
    if (sized.weight(i) == 0) continue;
    const std::size_t begin = i / sized.length * sized.length;
    const real share = static_cast<real>(sized.share(i)) / (sums ? 1 : static_cast<real>(heads)),
               upstream =
                   static_cast<real>(sized.upstream(i)) / (sums ? 1 : static_cast<real>(heads));
    for (std::size_t h = 0; h < heads; ++h) {
      real off = 1e-15L;
      reference::pair both;
      both.log_q = relate(sized.student, sized.stride, begin, h * width, width, i - begin, off);
      for (std::size_t g = 0; g < group; ++g) {
        const reference::row one =
            relate(teacher, step, begin, (h * group + g) * other, other, i - begin, off);
        if (g == 0) both.log_p = one;
        for (std::size_t j = 0; g != 0 && j < one.size(); ++j) {
          const real most = std::max(both.log_p[j], one[j]);
          both.log_p[j] = std::isnan(one[j])
                              ? one[j]
                              : most + std::log1p(std::exp(-std::fabs(both.log_p[j] - one[j])));
        }
      }
      for (real& l : both.log_p) l -= std::log(static_cast<real>(group));
      both.bad = reference::is_nan(both.log_q) || reference::is_nan(both.log_p);
      for (std::size_t j = 0; j < sized.length; ++j) {
        both.x.push_back(both.log_q[j] - both.log_p[j]);
        both.scale = std::max(both.scale, std::fabs(both.x[j]));
      }
      answer a = parity ? reference::clamped(both, gamma, 1) : reference::blend(both, gamma, 1);
      value += share * a.value;
      // A logarithm off by `off` moves the value by that times |ln q - ln p| and 1, twice.
      const real moved = 4 * off * (2 + both.scale) * static_cast<real>(sized.length);
      allowed += share * (1e-6L * std::fabs(a.value) + a.slack + moved);
      if (upstream == 0) continue;
      const real root = std::sqrt(static_cast<real>(width));
      for (std::size_t j = 0; j < sized.length; ++j) {
        const real slope = upstream * a.gradient[j] / root,
                   off_slope = std::fabs(upstream) * (a.undecided + moved) / root;
        for (std::size_t c = 0; c < width; ++c) {
          const std::size_t of_i = i * sized.stride + h * width + c,
                            of_j = (begin + j) * sized.stride + h * width + c;
          const real x_i = static_cast<real>(sized.student[of_i]),
                     x_j = static_cast<real>(sized.student[of_j]);
          expected[of_i] += slope * x_j;
          expected[of_j] += slope * x_i;
          slack[of_i] += (off_slope + 1e-15L * std::fabs(slope)) * std::fabs(x_j);
          slack[of_j] += (off_slope + 1e-15L * std::fabs(slope)) * std::fabs(x_i);
        }
      }
    }
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (i % sized.stride >= columns)
      expected[i] = sized.options.accumulate ? 0 : static_cast<real>(sized.before[i]);
    if (std::isnan(slack[i])) slack[i] = 0;
  }
  const er::relation_kl loss{.direction = direction,
                             .mode = parity ? er::loss_mode::parity : er::loss_mode::stable,
                             .sum_heads = sums};
  std::vector<double> workspace(er::relation_kl::workspace_size(sized.length, width, other, group));
  using er::head_order;
  const er::loss_result r = loss(
      er::head_view<const float>{
          {sized.student.data(), sized.tokens, columns, sized.stride}, heads, head_order::by_token},
      er::head_view<const float>{{teacher.data(), sized.tokens, other * heads * group, step},
                                 heads * group,
                                 head_order::by_token},
      sized.options,
      er::head_view<float>{{sized.gradient.data(), sized.tokens, columns, sized.stride},
                           heads,
                           head_order::by_token},
      workspace);
  if (!(std::isfinite(value) ? std::fabs(static_cast<real>(r.value) - value) <= allowed + 1e-30L
                             : same_kind(static_cast<real>(r.value), value)))
    report("relation_kl", "the value", static_cast<real>(r.value), value, 0, 0, sized, 1);
  compare_all("relation_kl", "the gradient", sized.gradient, sized.before, sized.options.accumulate,
              expected, slack, sized);
}
