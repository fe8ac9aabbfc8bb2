#include "parallel/parallel.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>
#include <vector>

namespace tamis::parallel {
namespace {

constexpr int32_t kThreadCounts[] = {1, 2, 7, 64, 100};
constexpr int64_t kItemCounts[] = {0, 1, 5, 99, 1000};

// Runs a loop; true if every item ran exactly once, on a worker in range, no worker twice at once.
bool RunsEachItemOnce(const Executor& executor, int32_t threads, int64_t items, Order order) {
  std::vector<std::atomic<int>> runs(static_cast<size_t>(items));
  std::vector<std::atomic<bool>> busy(static_cast<size_t>(threads));
  std::atomic<bool> sound{true};
  ForEach(executor, threads, items, order, [&](int64_t item, int32_t worker) {
    if (worker < 0 || worker >= threads || item < 0 || item >= items) {
      sound = false;
      return;
    }
    if (busy[static_cast<size_t>(worker)].exchange(true)) sound = false;
    if (item % 16 == 0) std::this_thread::yield();
    runs[static_cast<size_t>(item)]++;
    busy[static_cast<size_t>(worker)] = false;
  });
  for (const std::atomic<int>& count : runs) sound = sound && count == 1;
  return sound;
}

bool RunsEachItemOnce(const Executor& executor, int32_t threads, int64_t items) {
  return RunsEachItemOnce(executor, threads, items, Order::kAscending) &&
         RunsEachItemOnce(executor, threads, items, Order::kByShare);
}

void ExpectEachItemOnce(const Executor& executor) {
  for (const int32_t threads : kThreadCounts) {
    for (const int64_t items : kItemCounts)
      EXPECT_TRUE(RunsEachItemOnce(executor, threads, items)) << threads << " x " << items;
  }
}

TEST(Parallel, EachItemRunsOnceOnAWorkerOfItsOwn) { ExpectEachItemOnce({}); }

TEST(Parallel, ManyShortLoopsInARow) {
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(RunsEachItemOnce({}, 3, 4)) << i;
}

TEST(Parallel, ThreadCountsBelowOneMeanOne) {
  for (const int32_t threads : {0, -5}) {
    int64_t sum = 0;
    ForEach({}, threads, 10, [&](int64_t item, int32_t worker) { sum += item + worker; });
    EXPECT_EQ(sum, 45) << threads;
  }
}

TEST(Parallel, LoopsNest) {
  std::atomic<int64_t> sum{0};
  ForEach({}, 4, 8, [&](int64_t outer, int32_t) {
    ForEach({}, 4, 100, [&](int64_t inner, int32_t) { sum += outer * 100 + inner; });
  });
  EXPECT_EQ(sum, 799 * 800 / 2);
}

TEST(Parallel, OfEqualSharesEveryWorkerDoesItsOwn) {
  constexpr int32_t kThreads = 3;
  for (int i = 0; i < 20; ++i) {
    std::atomic<int32_t> begun{0};
    std::vector<int32_t> by(kThreads, -1);
    ForEach({}, kThreads, kThreads, Order::kByShare, [&](int64_t item, int32_t worker) {
      by[static_cast<size_t>(item)] = worker;
      ++begun;
      while (begun < kThreads) std::this_thread::yield();  // or one might do the others', too
    });
    for (int32_t item = 0; item < kThreads; ++item)
      EXPECT_EQ(by[static_cast<size_t>(item)], item) << i;
  }
}

TEST(Parallel, WhoIsDoneHelpsWithOtherShares) {
  std::atomic<int32_t> done{0};
  ForEach({}, 2, 100, Order::kByShare, [&](int64_t item, int32_t) {
    while (item == 0 && done < 99) std::this_thread::yield();  // until all else is done
    ++done;
  });
  EXPECT_EQ(done, 100);
}

TEST(Parallel, ACallerHasTheFirstShare) {
  std::thread::id by[2];
  std::atomic<int32_t> begun{0};
  ForEach({}, 2, 2, Order::kByShare, [&](int64_t item, int32_t) {
    by[item] = std::this_thread::get_id();
    ++begun;
    while (begun < 2) std::this_thread::yield();
  });
  EXPECT_EQ(by[0], std::this_thread::get_id());
  EXPECT_NE(by[1], std::this_thread::get_id());
}

TEST(Parallel, HostThreadsShareThePool) {
  std::atomic<int> sound{0};
  std::vector<std::thread> hosts;
  for (int host = 0; host < 4; ++host) {
    hosts.emplace_back([&] {
      for (int i = 0; i < 200; ++i) sound += RunsEachItemOnce({}, 3, 50) ? 1 : 0;
    });
  }
  for (std::thread& host : hosts) host.join();
  EXPECT_EQ(sound, 4 * 200);
}

TEST(Parallel, ResultsOfOtherThreadsAreVisibleAfterTheLoop) {
  for (int i = 0; i < 200; ++i) {
    std::vector<int64_t> squares(100);  // not atomic: the join orders the writes
    ForEach({}, 4, 100,
            [&](int64_t item, int32_t) { squares[static_cast<size_t>(item)] = item * item; });
    for (int64_t item = 0; item < 100; ++item)
      ASSERT_EQ(squares[static_cast<size_t>(item)], item * item);
  }
}

TEST(Parallel, ExceptionsReachTheCallerAfterAllTasksEnded) {
  for (const int32_t threads : kThreadCounts) {
    std::atomic<int> inside{0};
    EXPECT_THROW(ForEach({}, threads, 1000,
                         [&](int64_t item, int32_t) {
                           inside++;
                           std::this_thread::yield();
                           inside--;
                           if (item % 10 == 3) throw std::bad_alloc();
                         }),
                 std::bad_alloc)
        << threads;
    EXPECT_EQ(inside, 0) << threads;
    EXPECT_TRUE(RunsEachItemOnce({}, threads, 1000)) << "the pool goes on after " << threads;
  }
}

TEST(ParallelExecutor, MayRunTasksInTurn) {
  int calls = 0;
  ExpectEachItemOnce(
      {&calls, [](void* state, int32_t tasks, void (*task)(void*, int32_t), void* arg) {
         ++*static_cast<int*>(state);
         for (int32_t i = 0; i < tasks; ++i) task(arg, i);
       }});
  EXPECT_GT(calls, 0);
}

TEST(ParallelExecutor, MayRunTasksInReverse) {
  ExpectEachItemOnce({nullptr, [](void*, int32_t tasks, void (*task)(void*, int32_t), void* arg) {
                        for (int32_t i = tasks; i-- > 0;) task(arg, i);
                      }});
}

TEST(ParallelExecutor, MayUseThreadsOfItsOwn) {
  ExpectEachItemOnce({nullptr, [](void*, int32_t tasks, void (*task)(void*, int32_t), void* arg) {
                        std::vector<std::thread> threads;
                        for (int32_t i = 0; i < tasks; ++i) threads.emplace_back(task, arg, i);
                        for (std::thread& thread : threads) thread.join();
                      }});
}

TEST(ParallelExecutor, GetsNoMoreTasksThanItemsOrThreads) {
  int32_t most = 0;
  const Executor executor = {
      &most, [](void* state, int32_t tasks, void (*task)(void*, int32_t), void* arg) {
        *static_cast<int32_t*>(state) = std::max(*static_cast<int32_t*>(state), tasks);
        for (int32_t i = 0; i < tasks; ++i) task(arg, i);
      }};
  EXPECT_TRUE(RunsEachItemOnce(executor, 64, 5));
  EXPECT_EQ(most, 5);
  EXPECT_TRUE(RunsEachItemOnce(executor, 3, 1000));
  EXPECT_EQ(most, 5);
}

// Not "Parallel": the thread sanitizer knows no fork from a process with threads.
TEST(AfterFork, ChildAndParentBothCompute) {
  ASSERT_TRUE(RunsEachItemOnce({}, 4, 100));  // the parent's pool has workers now
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // a child that hangs must not outlive the test
    _exit(RunsEachItemOnce({}, 4, 100) && RunsEachItemOnce({}, 2, 1000) ? 0 : 1);
  }
  EXPECT_TRUE(RunsEachItemOnce({}, 4, 100));
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(RunsEachItemOnce({}, 4, 100));
}

}  // namespace
}  // namespace tamis::parallel
