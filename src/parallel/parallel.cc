#include "parallel/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>

namespace tamis::parallel {
namespace {

struct Loop {
  std::atomic<int64_t> next{0};
  int64_t items = 0;
  void (*body)(void* arg, int64_t item, int32_t worker) = nullptr;
  void* arg = nullptr;
  std::atomic<bool> failed{false};
  std::exception_ptr error;  // written by whoever set `failed`, read after the join
};

void Work(void* state, int32_t worker) {
  auto* loop = static_cast<Loop*>(state);
  for (;;) {
    const int64_t item = loop->next.fetch_add(1, std::memory_order_relaxed);
    if (item >= loop->items) return;
    try {
      loop->body(loop->arg, item, worker);
    } catch (...) {
      if (!loop->failed.exchange(true)) loop->error = std::current_exception();
      return;
    }
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
  if (tasks == 1) {
    Work(&loop, 0);
  } else {
    const Executor pool = executor.run != nullptr ? executor : OwnPool();
    pool.run(pool.state, tasks, &Work, &loop);
  }
  if (loop.failed) std::rethrow_exception(loop.error);
}

}  // namespace tamis::parallel
