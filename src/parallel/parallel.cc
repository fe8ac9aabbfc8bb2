#include "parallel/parallel.h"

#include <algorithm>
#include <atomic>

namespace tamis::parallel {
namespace {

struct Loop {
  std::atomic<int64_t> next{0};
  int64_t items = 0;
  void (*body)(void* arg, int64_t item, int32_t worker) = nullptr;
  void* arg = nullptr;
};

void Work(void* state, int32_t worker) {
  auto* loop = static_cast<Loop*>(state);
  for (;;) {
    const int64_t item = loop->next.fetch_add(1, std::memory_order_relaxed);
    if (item >= loop->items) return;
    loop->body(loop->arg, item, worker);
  }
}

}  // namespace

void ForEach(const Executor& executor, int32_t threads, int64_t items,
             void (*body)(void* arg, int64_t item, int32_t worker), void* arg) {
  if (items <= 0) return;
  Loop loop;
  loop.items = items;
  loop.body = body;
  loop.arg = arg;
  const auto tasks = static_cast<int32_t>(std::min<int64_t>(std::max(threads, 1), items));
  if (tasks == 1) return Work(&loop, 0);
  const Executor pool = executor.run != nullptr ? executor : OwnPool();
  pool.run(pool.state, tasks, &Work, &loop);
}

}  // namespace tamis::parallel
