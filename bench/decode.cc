// What a decoding step of many layers costs beside its kernels, in C++.
//
//   tamis_decode [LAYERS [CONTEXT [STEPS]]]        (61 131072 16 by default)
//
// One plan of lightning_indexer and one of sparse_flash_attention, renewed at every step, run by
// every layer at the sizes of DeepSeek-V3.2: 128 heads, 2048 selected keys, pages of 64. Layers
// share their memory, so that the machine need not hold 12 GB. Prints the time outside kernels, by
// an executor that times them, and how often memory was allocated after the first step.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#include "tamis/tamis.hpp"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

void* operator new(size_t size) {
  ++allocations;
  void* const memory = std::malloc(size > 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto align = static_cast<size_t>(alignment);
  void* const memory = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t /*size*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
void operator delete(void* memory, size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}

namespace {

using Microseconds = std::chrono::duration<double, std::micro>;

// A clock that one instruction reads: what is timed is short, and comes after kernels that have
// emptied the caches of everything else.
struct Clock {
  static uint64_t Now() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
  }
  // Found in the first tenth of a second.
  static double PerMicrosecond() {
    static const double kRate = [] {
      const auto begin = std::chrono::steady_clock::now();
      const uint64_t ticks = Now();
      Microseconds spent{0};
      while (spent.count() < 1e5) spent = std::chrono::steady_clock::now() - begin;
      return static_cast<double>(Now() - ticks) / spent.count();
    }();
    return kRate;
  }
  static double ToMicroseconds(uint64_t ticks) {
    return static_cast<double>(ticks) / PerMicrosecond();
  }
};

constexpr int64_t kPage = 64;

std::vector<tamis::bfloat16> Numbers(int64_t count) {
  static std::minstd_rand random(1);
  std::uniform_real_distribution<float> uniform(-0.5F, 0.5F);
  std::vector<tamis::bfloat16> numbers(static_cast<size_t>(count));
  for (auto& number : numbers) number = tamis::bfloat16(uniform(random));
  return numbers;
}

// Runs tasks one after the other, on this thread, and times them.
struct Timed {
  uint64_t spent = 0;
};

void RunTimed(void* state, int32_t tasks, void (*task)(void* arg, int32_t index), void* arg) {
  const uint64_t begin = Clock::Now();
  for (int32_t i = 0; i < tasks; ++i) task(arg, i);
  static_cast<Timed*>(state)->spent += Clock::Now() - begin;
}

int Failed(const tamis::Status& status) {
  std::fprintf(stderr, "%s\n", status.message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t layers = argc > 1 ? std::atoll(argv[1]) : 61;
  const int64_t context = argc > 2 ? std::atoll(argv[2]) : 131072;
  const int64_t steps = argc > 3 ? std::atoll(argv[3]) : 16;
  const int64_t pages = (context + steps + kPage - 1) / kPage;

  const auto index_query = Numbers(64 * 128);
  const auto weights = Numbers(64);
  const auto index_keys = Numbers(pages * kPage * 128);
  const auto query = Numbers(128 * 512);
  const auto query_rope = Numbers(128 * 64);
  const auto latents = Numbers(pages * kPage * 512);
  const auto rope_keys = Numbers(pages * kPage * 64);
  std::vector<int32_t> table(static_cast<size_t>(pages));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::minstd_rand(2));
  std::vector<int32_t> indices(2048);
  std::vector<tamis::bfloat16> out(128 * 512);
  int64_t length = context;

  tamis::lightning_indexer::Params select;
  select.query = {index_query.data(), {1, 1, 64, 128}};
  select.key = {index_keys.data(), {pages, kPage, 1, 128}};
  select.weights = {weights.data(), {1, 1, 64}};
  select.actual_seq_lengths_key = {&length, {1}};
  select.block_table = {table.data(), {1, pages}};
  select.layout_key = tamis::lightning_indexer::KeyLayout::kPaBsnd;
  select.sparse_indices = {indices.data(), {1, 1, 1, 2048}};
  tamis::sparse_flash_attention::Params attend;
  attend.query = {query.data(), {1, 1, 128, 512}};
  attend.query_rope = {query_rope.data(), {1, 1, 128, 64}};
  attend.key = {latents.data(), {pages, kPage, 1, 512}};
  attend.key_rope = {rope_keys.data(), {pages, kPage, 1, 64}};
  attend.sparse_indices = {indices.data(), {1, 1, 1, 2048}};
  attend.actual_seq_lengths_kv = select.actual_seq_lengths_key;
  attend.block_table = select.block_table;
  attend.layout_kv = tamis::sparse_flash_attention::KvLayout::kPaBsnd;
  attend.scale_value = 0.0722;
  attend.out = {out.data(), {1, 1, 128, 512}};

  Timed timed;
  const tamis::Context host = {.threads = 1, .executor = {&timed, RunTimed}};
  tamis::Result<tamis::Plan> selecting = tamis::lightning_indexer::plan(select, host);
  tamis::Result<tamis::Plan> attending = tamis::sparse_flash_attention::plan(attend, host);
  if (!selecting) return Failed(selecting.status());
  if (!attending) return Failed(attending.status());

  Clock::PerMicrosecond();
  std::unique_ptr<void, decltype(&std::free)> workspace(nullptr, &std::free);
  int64_t bytes = 0;
  std::vector<double> renewals;
  std::vector<double> outside;  // of every layer of every step but the first
  outside.reserve(static_cast<size_t>(layers * steps));
  renewals.reserve(static_cast<size_t>(steps));
  int64_t after_first = 0;
  for (int64_t step = 0; step < steps; ++step) {
    ++length;
    const int64_t allocated = allocations;
    const uint64_t begin = Clock::Now();
    if (const auto status = selecting->renew(select); !status) return Failed(status);
    if (const auto status = attending->renew(attend); !status) return Failed(status);
    renewals.push_back(Clock::ToMicroseconds(Clock::Now() - begin));
    const int64_t needed = std::max(selecting->workspace_bytes(), attending->workspace_bytes());
    if (needed > bytes) {
      bytes = needed;
      workspace.reset(std::aligned_alloc(64, static_cast<size_t>(bytes + 63) / 64 * 64));
    }
    for (int64_t layer = 0; layer < layers; ++layer) {
      timed.spent = 0;
      const uint64_t layer_begin = Clock::Now();
      if (const auto status = selecting->run(select, workspace.get(), bytes); !status)
        return Failed(status);
      if (const auto status = attending->run(attend, workspace.get(), bytes); !status)
        return Failed(status);
      const uint64_t spent = Clock::Now() - layer_begin;
      if (step > 0) outside.push_back(Clock::ToMicroseconds(spent - timed.spent));
    }
    if (step > 0) after_first += allocations - allocated;
    std::printf("step %lld: %.1f ms\n", static_cast<long long>(step),
                Clock::ToMicroseconds(Clock::Now() - begin) / 1e3);
  }
  std::sort(outside.begin(), outside.end());
  std::sort(renewals.begin(), renewals.end());
  const double layer = outside.empty() ? 0 : outside[outside.size() / 2];
  const double renewal = renewals[renewals.size() / 2] / static_cast<double>(layers);
  std::printf(
      "outside kernels, medians: %.2f us a layer, and renewals of %.2f us a layer; "
      "%lld allocations after the first step\n",
      layer, renewal, static_cast<long long>(after_first));
  return 0;
}
