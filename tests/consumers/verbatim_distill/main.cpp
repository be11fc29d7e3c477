#include <edgerazor/distill.hpp>
#include <vector>
namespace er = edgerazor;
int main() {
  const std::size_t tokens = 4, vocab = 1000;
  std::vector<float> s(tokens * vocab, 0.1f), t(tokens * vocab, 0.2f), g(tokens * vocab);
  std::vector<std::int64_t> labels{1, -100, 7, 9};
  er::entropy_aware_kl loss{.temperature = 1.0f, .confidence_k = 16};
  auto r = loss(er::matrix_view<const float>{s.data(), tokens, vocab}, er::matrix_view<const float>{t.data(), tokens, vocab},
                std::span<const std::int64_t>{labels}, er::reduction::mean, er::matrix_view<float>{g.data(), tokens, vocab});
  return r.value >= 0 && r.gamma >= 0 && r.gamma <= 1 ? 0 : 1;
}
