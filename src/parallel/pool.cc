// The thread pool: a list of jobs, workers that take tasks from any of them, callers that work on
// their own.
#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "parallel/parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tamis::parallel {
namespace {

struct Job {
  void (*task)(void* arg, int32_t index);
  void* arg;
  int32_t tasks;
  int32_t claimed = 1;              // guarded by the pool's mutex; the first is the caller's
  std::atomic<int32_t> running{0};  // claimed by workers and not finished
};

class Pool {
 public:
  // Of at least two tasks.
  void Run(int32_t tasks, void (*task)(void*, int32_t), void* arg) {
    Job job{task, arg, tasks};
    {
      std::lock_guard lock(mutex_);
      Grow(tasks - 1);
      jobs_.push_back(&job);
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    // The caller works too, so a job ends even if every worker is busy elsewhere (or could not be
    // started). It always has the first task, and with it the same share of a loop.
    task(arg, 0);
    for (int32_t index; (index = Claim(&job)) >= 0;) task(arg, index);
    while (job.running.load(std::memory_order_acquire) != 0) Pause();
  }

 private:
  // Tens of microseconds: meant to outlast the gap between two operators of a decode step and to
  // end well before a scheduler tick. Not tuned by measurement.
  static constexpr int kSpins = 2000;

  static void Pause() {
#if defined(__x86_64__)
    _mm_pause();
#else
    std::this_thread::yield();
#endif
  }

  // Takes one task of `job`, or -1. Removes the job from the list with its last task.
  int32_t Claim(Job* job) {
    std::lock_guard lock(mutex_);
    return ClaimLocked(job);
  }
  int32_t ClaimLocked(Job* job) {
    if (job->claimed == job->tasks) return -1;
    const int32_t index = job->claimed++;
    if (job->claimed == job->tasks) std::erase(jobs_, job);
    return index;
  }

  void Grow(int32_t wanted) {
    while (static_cast<int32_t>(workers_) < wanted) {
      try {
        std::thread([this] { WorkForever(); }).detach();
      } catch (const std::system_error&) {
        return;  // fewer workers: slower, not wrong
      }
      ++workers_;
    }
  }

  void WorkForever() {
    for (;;) {
      Job* job = nullptr;
      int32_t index = -1;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return !jobs_.empty(); });
        job = jobs_.front();
        job->running.fetch_add(1, std::memory_order_relaxed);
        index = ClaimLocked(job);
      }
      job->task(job->arg, index);
      job->running.fetch_sub(1, std::memory_order_release);  // the job may be gone from here on
      const uint64_t seen = epoch_.load(std::memory_order_acquire);
      for (int i = 0; i < kSpins && epoch_.load(std::memory_order_acquire) == seen; ++i) Pause();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job*> jobs_;          // with unclaimed tasks
  std::atomic<uint64_t> epoch_{0};  // counts jobs, so that spinning workers need no lock
  size_t workers_ = 0;
};

// Never destroyed: workers may outlive static destructors. A child after fork has none of its
// parent's threads and gets a pool of its own.
std::atomic<Pool*> g_pool{nullptr};

Pool& Instance() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { g_pool.store(nullptr); });
  (void)registered;
  Pool* pool = g_pool.load(std::memory_order_acquire);
  if (pool != nullptr) return *pool;
  auto* fresh = new Pool;
  if (g_pool.compare_exchange_strong(pool, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *pool;
}

}  // namespace

Executor OwnPool() {
  return {nullptr, [](void*, int32_t tasks, void (*task)(void*, int32_t), void* arg) {
            Instance().Run(tasks, task, arg);
          }};
}

}  // namespace tamis::parallel
