// The decoding loop of a DeepSeek-style model: in every layer the lightning indexer selects keys
// and sparse attention looks at them. One plan per operator; a step renews both, and all layers run
// them on tensors of their own.
//
// cmake -B build && cmake --build build && build/decode [LAYERS [CONTEXT [STEPS]]]
//
// The model is 61 128 * 1024 64: 12 GB of caches. The queries here are random numbers.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <tamis/tamis.hpp>
#include <vector>

namespace {

constexpr int64_t kHeads = 128, kLatent = 512, kRope = 64;  // of attention
constexpr int64_t kIndexHeads = 64, kIndexDim = 128, kTopK = 2048;
constexpr int64_t kPage = 64;  // tokens

using Numbers = std::vector<tamis::bfloat16>;

Numbers Random(int64_t count, uint32_t seed) {
  std::minstd_rand random(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  Numbers few(std::min<int64_t>(count, 1 << 16));
  for (auto& number : few) number = tamis::bfloat16(uniform(random));
  Numbers numbers(static_cast<size_t>(count));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = few[i % few.size()];
  return numbers;
}

// The caches of a layer, in pages, and what its prologs would write into a step's tensors.
struct Layer {
  Layer(int64_t pages, uint32_t seed)
      : index_keys(Random(pages * kPage * kIndexDim, seed)),
        latents(Random(pages * kPage * kLatent, seed + 1)),
        rope_keys(Random(pages * kPage * kRope, seed + 2)),
        index_query(Random(kIndexHeads * kIndexDim, seed + 3)),
        index_weights(Random(kIndexHeads, seed + 4)),
        query(Random(kHeads * kLatent, seed + 5)),
        query_rope(Random(kHeads * kRope, seed + 6)) {}

  Numbers index_keys, latents, rope_keys;
  Numbers index_query, index_weights, query, query_rope;
};

bool Fine(const tamis::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status.ok();
}

// Memory that a plan's runs work in; grows where a renewed plan needs more.
class Workspace {
 public:
  void Fit(const tamis::Plan& plan) {
    if (plan.workspace_bytes() <= bytes_) return;
    bytes_ = (plan.workspace_bytes() * 5 / 4 + 63) / 64 * 64;
    memory_.reset(std::aligned_alloc(64, static_cast<size_t>(bytes_)));
  }
  void* data() const { return memory_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  int64_t bytes_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const int64_t layers = argc > 1 ? std::atoll(argv[1]) : 4;
  const int64_t context = argc > 2 ? std::atoll(argv[2]) : 8192;
  const int64_t steps = argc > 3 ? std::atoll(argv[3]) : 64;
  const int64_t pages = (context + steps + kPage - 1) / kPage;

  std::vector<Layer> model;
  for (int64_t i = 0; i < layers; ++i) model.emplace_back(pages, static_cast<uint32_t>(10 * i + 1));

  // One sequence, whose pages lie in any order. The table has its full width from the start, so
  // that its shape stays what the plans know.
  std::vector<int32_t> table(static_cast<size_t>(pages));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::minstd_rand(1));
  int64_t length = context;
  std::vector<int32_t> selected(kTopK);
  Numbers out(kHeads * kLatent);

  // Shapes, attributes, lengths and pages, for all layers; the memory of the other tensors comes
  // with each run.
  const auto dense = [](std::initializer_list<int64_t> shape) {
    return tamis::TensorView(nullptr, tamis::DType::kBFloat16, shape);
  };
  tamis::lightning_indexer::Params select;
  select.query = dense({1, 1, kIndexHeads, kIndexDim});
  select.key = dense({pages, kPage, 1, kIndexDim});
  select.weights = dense({1, 1, kIndexHeads});
  select.actual_seq_lengths_key = {&length, {1}};
  select.block_table = {table.data(), {1, pages}};
  select.layout_key = tamis::lightning_indexer::KeyLayout::kPaBsnd;
  select.sparse_count = kTopK;
  select.sparse_indices = {selected.data(), {1, 1, 1, kTopK}};

  tamis::sparse_flash_attention::Params attend;
  attend.query = dense({1, 1, kHeads, kLatent});
  attend.query_rope = dense({1, 1, kHeads, kRope});
  attend.key = dense({pages, kPage, 1, kLatent});
  attend.key_rope = dense({pages, kPage, 1, kRope});
  attend.sparse_indices = {selected.data(), {1, 1, 1, kTopK}};
  attend.actual_seq_lengths_kv = select.actual_seq_lengths_key;
  attend.block_table = select.block_table;
  attend.layout_kv = tamis::sparse_flash_attention::KvLayout::kPaBsnd;
  attend.scale_value = 0.0724;  // 192^-0.5
  attend.out = {out.data(), {1, 1, kHeads, kLatent}};

  tamis::Result<tamis::Plan> selecting = tamis::lightning_indexer::plan(select);
  tamis::Result<tamis::Plan> attending = tamis::sparse_flash_attention::plan(attend);
  if (!Fine(selecting.status()) || !Fine(attending.status())) return 1;
  std::printf("select: %s\nattend: %s\n", selecting->explanation().c_str(),
              attending->explanation().c_str());

  Workspace workspace;
  double checksum = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t step = 0; step < steps; ++step) {
    ++length;  // here a model appends the new token's rows to the caches of every layer
    if (!Fine(selecting->renew(select)) || !Fine(attending->renew(attend))) return 1;
    workspace.Fit(*selecting);
    workspace.Fit(*attending);
    for (const Layer& layer : model) {
      select.query.data = const_cast<tamis::bfloat16*>(layer.index_query.data());
      select.key.data = const_cast<tamis::bfloat16*>(layer.index_keys.data());
      select.weights.data = const_cast<tamis::bfloat16*>(layer.index_weights.data());
      if (!Fine(selecting->run(select, workspace.data(), workspace.bytes()))) return 1;
      attend.query.data = const_cast<tamis::bfloat16*>(layer.query.data());
      attend.query_rope.data = const_cast<tamis::bfloat16*>(layer.query_rope.data());
      attend.key.data = const_cast<tamis::bfloat16*>(layer.latents.data());
      attend.key_rope.data = const_cast<tamis::bfloat16*>(layer.rope_keys.data());
      if (!Fine(attending->run(attend, workspace.data(), workspace.bytes()))) return 1;
      checksum += static_cast<float>(out[0]);
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf("%lld steps of %lld layers at %lld tokens: %.2f ms a step, sum %.6f\n",
              static_cast<long long>(steps), static_cast<long long>(layers),
              static_cast<long long>(length), seconds.count() * 1e3 / static_cast<double>(steps),
              checksum);
  return 0;
}
