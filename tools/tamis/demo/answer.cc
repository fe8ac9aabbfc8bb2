#include "tools/tamis/demo/answer.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/dtype.h"

namespace tamis::tools::demo {
namespace {

bool IsForced(int64_t block, int64_t blocks) { return block == 0 || block >= blocks - 2; }

}  // namespace

double MeanCosine(const uint16_t* a, const uint16_t* b, int64_t rows, int64_t dim) {
  double sum = 0;
  for (int64_t row = 0; row < rows; ++row) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t c = row * dim; c < (row + 1) * dim; ++c) {
      const double x = base::BFloat16ToFloat(a[c]);
      const double y = base::BFloat16ToFloat(b[c]);
      ab += x * y;
      aa += x * x;
      bb += y * y;
    }
    if (aa > 0 && bb > 0) sum += ab / std::sqrt(aa * bb);
  }
  return sum / static_cast<double>(rows);
}

Answer MakeAnswer(const Question& question, int64_t index, const Memory& memory, const Step& step,
                  const std::vector<double>& mass) {
  const int64_t raw_blocks = (memory.tokens + kBlock - 1) / kBlock;
  Answer answer;
  std::map<int64_t, Passage> passages;
  for (int64_t head = 0; head < kKeyHeads; ++head) {
    const int64_t list = index * kKeyHeads + head;
    answer.blocks_per_head = answer.forced_blocks = 0;
    for (int64_t place = 0; place < kBlocksPerHead; ++place) {
      const int64_t block = step.selected[static_cast<size_t>(list * kBlocksPerHead + place)];
      if (block < 0) break;
      const double held = mass[static_cast<size_t>(list * raw_blocks + block)] / kKeyHeads;
      answer.selected_mass += held;
      ++answer.blocks_per_head;
      if (IsForced(block, memory.blocks)) {
        answer.forced_mass += held;
        ++answer.forced_blocks;
        continue;
      }
      Passage& passage = passages[block];
      passage.block = block;
      ++passage.heads;
      passage.ranks += place - kBlocksPerHead;
      if (question.from_text() && block == question.HomeBlock()) ++answer.home_heads;
    }
  }
  for (auto& [block, passage] : passages) {
    passage.ranks += kKeyHeads * kBlocksPerHead;
    for (int64_t head = 0; head < kKeyHeads; ++head) {
      const int64_t list = index * kKeyHeads + head;
      passage.mass += mass[static_cast<size_t>(list * raw_blocks + block)] / kKeyHeads;
    }
    answer.passages.push_back(passage);
  }
  std::stable_sort(answer.passages.begin(), answer.passages.end(),
                   [](const Passage& a, const Passage& b) { return a.ranks < b.ranks; });
  const int64_t row = index * kQueryHeads * kValueDim;
  answer.cosine =
      MeanCosine(step.sparse_out.data() + row, step.dense_out.data() + row, kQueryHeads, kValueDim);
  return answer;
}

}  // namespace tamis::tools::demo
