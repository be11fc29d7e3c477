// SPDX-License-Identifier: Apache-2.0
/// Losses over a vocabulary that several processes share: each has some columns of the logits, and
/// what they know of a row is merged by a reduction of MPI. To be started by mpirun; the exit code
/// says whether all of them have found what the whole row gives.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <random>
#include <span>
#include <vector>

#include <mpi.h>

#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/skew_kl.hpp>
#include <edgerazor/distill/vocabulary_pieces.hpp>

namespace er = edgerazor;

namespace {

/// MPI_User_function: statistics of pieces of a row, merged.
void merge(void* from, void* into, int* count, MPI_Datatype*) {
  const auto* const others = static_cast<const er::logit_statistics*>(from);
  auto* const all = static_cast<er::logit_statistics*>(into);
  for (int i = 0; i < *count; ++i) all[i].merge(others[i]);
}

/// Whether |a - b| <= tolerance * max(1, |b|), told where it is not.
bool near_to(const char* what, double a, double b, double tolerance) {
  if (std::fabs(a - b) <= tolerance * std::max(1.0, std::fabs(b))) return true;
  std::fprintf(stderr, "%s: %.17g, expected %.17g\n", what, a, b);
  return false;
}

bool check(std::size_t rank, std::size_t size) {
  constexpr std::size_t tokens = 6, vocabulary = 1003;  // no number of processes divides it
  constexpr float temperature = 1.5f;
  std::mt19937 random(23);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> student(tokens * vocabulary), teacher(student.size());
  for (float& x : student) x = normal(random);
  for (float& x : teacher) x = normal(random);
  // Mass that one process alone has, and a row that both models agree on.
  teacher[vocabulary - 1] = 40;
  std::copy_n(student.begin() + vocabulary, vocabulary, teacher.begin() + vocabulary);

  const std::size_t begin = vocabulary * rank / size, end = vocabulary * (rank + 1) / size;
  const auto row = [&](const std::vector<float>& of, std::size_t t) {
    return std::span{of}.subspan(t * vocabulary, vocabulary);
  };
  const auto own = [&](std::span<const float> whole) { return whole.subspan(begin, end - begin); };

  // One reduction for all tokens.
  std::vector<er::logit_statistics> seen(tokens), whole(tokens);
  for (std::size_t t = 0; t < tokens; ++t)
    er::observe_piece(own(row(student, t)), own(row(teacher, t)), temperature, seen[t]);
  MPI_Datatype statistics;
  MPI_Type_contiguous(sizeof(er::logit_statistics), MPI_BYTE, &statistics);
  MPI_Type_commit(&statistics);
  MPI_Op merged;
  MPI_Op_create(&merge, 1, &merged);
  MPI_Allreduce(seen.data(), whole.data(), tokens, statistics, merged, MPI_COMM_WORLD);
  MPI_Op_free(&merged);
  MPI_Type_free(&statistics);

  // A divergence that is a sum over the vocabulary takes a second one, of numbers.
  const er::skew_kl skew{.temperature = temperature};
  std::vector<er::piece_sums> terms(tokens), term_sums(tokens);
  for (std::size_t t = 0; t < tokens; ++t)
    er::observe_terms(skew, own(row(student, t)), own(row(teacher, t)), whole[t], terms[t]);
  static_assert(sizeof(er::piece_sums) == 2 * sizeof(double));
  MPI_Allreduce(terms.data(), term_sums.data(), 2 * tokens, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);

  bool good = true;
  std::vector<float> expected(vocabulary), found(end - begin);
  for (std::size_t t = 0; t < tokens; ++t) {
    er::logit_statistics reference;
    er::observe_piece(row(student, t), row(teacher, t), temperature, reference);
    // As vocabulary_pieces.hpp promises: rows are worked in float.
    good &= near_to("KL(p||q)", whole[t].forward_kl(), reference.forward_kl(), 1e-6);
    good &= near_to("KL(q||p)", whole[t].reverse_kl(), reference.reverse_kl(), 1e-6);
    good &= near_to("H(p)", whole[t].teacher_entropy(), reference.teacher_entropy(), 1e-6);
    er::piece_sums all;
    er::observe_terms(skew, row(student, t), row(teacher, t), reference, all);
    good &= near_to("skew KL", term_sums[t].value, all.value, 1e-6);

    er::piece_gradient(row(student, t), row(teacher, t), temperature, reference, 0.25, 0.75,
                       std::span{expected});
    er::piece_gradient(own(row(student, t)), own(row(teacher, t)), temperature, whole[t], 0.25,
                       0.75, std::span{found});
    for (std::size_t i = 0; i < found.size(); ++i) {
      good &= near_to("gradient", static_cast<double>(found[i]),
                      static_cast<double>(expected[begin + i]), 1e-6);
    }
    er::piece_gradient(skew, row(student, t), row(teacher, t), reference, all, 1,
                       std::span{expected});
    er::piece_gradient(skew, own(row(student, t)), own(row(teacher, t)), whole[t], term_sums[t], 1,
                       std::span{found});
    for (std::size_t i = 0; i < found.size(); ++i) {
      good &= near_to("gradient of the skew KL", static_cast<double>(found[i]),
                      static_cast<double>(expected[begin + i]), 1e-6);
    }
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const bool good = check(static_cast<std::size_t>(rank), static_cast<std::size_t>(size));
  MPI_Finalize();
  return good ? 0 : 1;
}
