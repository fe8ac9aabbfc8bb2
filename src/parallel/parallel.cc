#include "parallel/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>

namespace tamis::parallel {
namespace {

constexpr int32_t kMostShares = 64;

// Items [next, end); in a cache line of its own.
struct alignas(64) Share {
  std::atomic<int64_t> next;
  int64_t end;
};

struct Loop {
  Share shares[kMostShares];
  int32_t share_count = 1;
  void (*body)(void* arg, int64_t item, int32_t worker) = nullptr;
  void* arg = nullptr;
  std::atomic<bool> failed{false};
  std::exception_ptr error;  // written by whoever set `failed`, read after the join
};

// The next item of a share, or -1.
int64_t Claim(Share* share) {
  // Asked first: of shares that are done, the counters stay where they are.
  if (share->next.load(std::memory_order_relaxed) >= share->end) return -1;
  const int64_t item = share->next.fetch_add(1, std::memory_order_relaxed);
  return item < share->end ? item : -1;
}

void Work(void* state, int32_t worker) {
  auto* loop = static_cast<Loop*>(state);
  try {
    for (int32_t i = 0; i < loop->share_count; ++i) {
      Share* const share = &loop->shares[(worker + i) % loop->share_count];
      for (int64_t item; (item = Claim(share)) >= 0;) loop->body(loop->arg, item, worker);
    }
  } catch (...) {
    if (!loop->failed.exchange(true)) loop->error = std::current_exception();
  }
}

}  // namespace

void ForEach(const Executor& executor, int32_t threads, int64_t items, Order order,
             void (*body)(void* arg, int64_t item, int32_t worker), void* arg) {
  if (items <= 0) return;
  const auto tasks = static_cast<int32_t>(std::min<int64_t>(std::max(threads, 1), items));
  Loop loop;
  loop.share_count = order == Order::kByShare ? std::min(tasks, kMostShares) : 1;
  int64_t begin = 0;
  for (int32_t i = 0; i < loop.share_count; ++i) {
    loop.shares[i].next = begin;
    begin += items / loop.share_count + (i < items % loop.share_count ? 1 : 0);
    loop.shares[i].end = begin;
  }
  loop.body = body;
  loop.arg = arg;
  if (executor.run != nullptr) {  // a host sees all work, so that it can time it
    executor.run(executor.state, tasks, &Work, &loop);
  } else if (tasks == 1) {
    Work(&loop, 0);
  } else {
    const Executor pool = OwnPool();
    pool.run(pool.state, tasks, &Work, &loop);
  }
  if (loop.failed) std::rethrow_exception(loop.error);
}

}  // namespace tamis::parallel
