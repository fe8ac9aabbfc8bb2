// Operators on several threads: hosts that call at once, hosts that fork, hosts that bring their
// own threads.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/c_call.h"
#include "tests/support/c_plan.h"
#include "tests/support/random_calls.h"

namespace tamis::test {
namespace {

struct Drawn {
  const base::Operator* op;
  uint64_t seed;
};

// Sound calls of every operator.
std::vector<Drawn> Draw(uint64_t per_operator) {
  std::vector<Drawn> runs;
  for (const base::Operator& op : registry::Operators()) {
    for (uint64_t seed = 1; seed <= per_operator; ++seed) runs.push_back({&op, seed});
  }
  return runs;
}

// The outputs of one call, planned and run through the C interface.
Outputs OutputsOf(const Drawn& run, const tamis_context* context) {
  Random random(run.seed);
  TestCall source = RandomCall(*run.op, &random);
  const CCall call(&source);
  tamis_plan* plan = nullptr;
  Outputs outputs;
  if (call.Plan(context, &plan) != TAMIS_OK ||
      tamis_plan_run(plan, nullptr, 0, nullptr) != TAMIS_OK)
    outputs[tamis_last_error()] = {};
  tamis_plan_destroy(plan);
  for (const tamis_named_tensor& tensor : call.tensors) {
    const base::Field* field = call.contract().Find(tensor.name);
    if (field->is_output()) outputs[tensor.name] = source.memory(tensor.name).bytes;
  }
  return outputs;
}

class Context {
 public:
  explicit Context(int32_t threads) {
    (void)tamis_context_create(&context_);
    (void)tamis_context_set_threads(context_, threads);
  }
  ~Context() { tamis_context_destroy(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  tamis_context* get() const { return context_; }

 private:
  tamis_context* context_ = nullptr;
};

std::vector<Outputs> OutputsOf(const std::vector<Drawn>& runs, const tamis_context* context) {
  std::vector<Outputs> outputs;
  for (const Drawn& run : runs) outputs.push_back(OutputsOf(run, context));
  return outputs;
}

TEST(OperatorThreads, TwoHostsWithContextsOfTheirOwnCallAtOnce) {
  const std::vector<Drawn> runs = Draw(6);
  const Context alone(1);
  const std::vector<Outputs> expected = OutputsOf(runs, alone.get());
  std::vector<Outputs> found[2];
  std::vector<std::thread> hosts;
  for (auto& outputs : found) {
    hosts.emplace_back([&outputs, &runs] {
      const Context context(3);
      outputs = OutputsOf(runs, context.get());
    });
  }
  for (std::thread& host : hosts) host.join();
  for (size_t i = 0; i < runs.size(); ++i) {
    EXPECT_TRUE(found[0][i] == expected[i]) << runs[i].op->contract->name << " " << runs[i].seed;
    EXPECT_TRUE(found[1][i] == expected[i]) << runs[i].op->contract->name << " " << runs[i].seed;
  }
}

// One owner renews; between its renewals, threads run the plan at once, each on tensors of its own.
TEST(OperatorThreads, HostsRunOnePlanAtOnceAndItsOwnerRenewsIt) {
  for (const Drawn& run : Draw(2)) {
    const Context context(2);
    const Outputs expected = OutputsOf(run, context.get());
    Random random(run.seed);
    TestCall source = RandomCall(*run.op, &random);
    const CCall call(&source);
    CPlan plan(call, context.get());
    for (int step = 0; step < 2; ++step) {
      ASSERT_EQ(plan.Renew(call), TAMIS_OK) << tamis_last_error();
      std::vector<std::thread> hosts;
      for (int host = 0; host < 3; ++host) {
        hosts.emplace_back([&] {
          Random drawn(run.seed);
          TestCall own = RandomCall(*run.op, &drawn);
          const CCall bindings(&own);
          EXPECT_EQ(plan.Run(bindings.tensors), TAMIS_OK) << tamis_last_error();
          for (const auto& [name, bytes] : expected)
            EXPECT_TRUE(own.memory(name).bytes == bytes) << run.op->contract->name << "." << name;
        });
      }
      for (std::thread& host : hosts) host.join();
    }
  }
}

// Inputs are shared, outputs are not.
TEST(OperatorThreads, HostsRunPlansOfTheirOwnOverOneInputAtOnce) {
  for (const Drawn& run : Draw(2)) {
    std::deque<TestCall> calls;
    for (int host = 0; host < 3; ++host) {
      Random random(run.seed);
      calls.push_back(RandomCall(*run.op, &random));
      if (host == 0) continue;
      for (const auto& [name, view] : calls.front().tensors()) {
        if (!run.op->contract->Find(name)->is_updated()) calls.back().View(name, view);
      }
    }
    const Context context(2);
    std::vector<std::thread> hosts;
    std::vector<std::string> failures(calls.size());
    for (size_t i = 0; i < calls.size(); ++i) {
      hosts.emplace_back([&, i] {
        const CCall call(&calls[i]);
        tamis_plan* plan = nullptr;
        if (call.Plan(context.get(), &plan) != TAMIS_OK ||
            tamis_plan_run(plan, nullptr, 0, nullptr) != TAMIS_OK)
          failures[i] = tamis_last_error();
        tamis_plan_destroy(plan);
      });
    }
    for (std::thread& host : hosts) host.join();
    const Outputs expected = OutputsOf(run, context.get());
    for (size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(failures[i], "") << run.op->contract->name;
      for (const auto& [name, bytes] : expected)
        EXPECT_TRUE(calls[i].memory(name).bytes == bytes) << run.op->contract->name << "." << name;
    }
  }
}

TEST(OperatorThreads, TwoHostsShareAContext) {
  const std::vector<Drawn> runs = Draw(2);
  const Context shared(2);
  std::vector<Outputs> found[2];
  std::vector<std::thread> hosts;
  for (auto& outputs : found)
    hosts.emplace_back([&outputs, &runs, &shared] { outputs = OutputsOf(runs, shared.get()); });
  for (std::thread& host : hosts) host.join();
  EXPECT_TRUE(found[0] == found[1]);
}

TEST(OperatorThreads, HostThreadsOfTheirOwnGiveTheSameBytes) {
  const auto each_on_a_thread = [](void*, int32_t tasks, tamis_task task, void* arg) {
    std::vector<std::thread> threads;
    for (int32_t i = 0; i < tasks; ++i) threads.emplace_back(task, arg, i);
    for (std::thread& thread : threads) thread.join();
  };
  const std::vector<Drawn> runs = Draw(4);
  const Context alone(1);
  const Context own(4);
  ASSERT_EQ(tamis_context_set_executor(own.get(), each_on_a_thread, nullptr), TAMIS_OK);
  EXPECT_TRUE(OutputsOf(runs, alone.get()) == OutputsOf(runs, own.get()));
}

// Not "Threads": the thread sanitizer knows no fork from a process with threads.
TEST(OperatorsAfterFork, ChildAndParentGiveTheSameBytes) {
  const std::vector<Drawn> runs = Draw(3);
  const Context context(3);
  const std::vector<Outputs> expected = OutputsOf(runs, context.get());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);  // a child that hangs must not outlive the test
    _exit(OutputsOf(runs, context.get()) == expected ? 0 : 1);
  }
  EXPECT_TRUE(OutputsOf(runs, context.get()) == expected);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace tamis::test
