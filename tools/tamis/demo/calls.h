// One operator call of the demo: planned, run and timed; and its outputs held against the float64
// reference.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tamis/tamis.hpp"

namespace tamis::tools::demo {

inline constexpr int64_t kWindow = 32;         ///< compress_block_size
inline constexpr int64_t kStride = 16;         ///< compress_stride
inline constexpr int64_t kBlock = 64;          ///< select_block_size
inline constexpr int64_t kBlocksPerHead = 16;  ///< select_block_count

/// Windows of a text, and the select blocks that they reach.
int64_t CountWindows(int64_t tokens);
int64_t CountBlocks(int64_t windows);

/// What calls took, planning included.
struct Measured {
  double seconds = 0;
  double flops = 0;
  double bytes = 0;             // read and written
  int64_t workspace_bytes = 0;  // the largest
};

/// Grows to the largest workspace asked for.
class Workspace {
 public:
  Status Reserve(int64_t bytes);
  void* data() const { return memory_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<void> memory_;
  int64_t bytes_ = 0;
};

/// The upper one of two middle values; at least one is needed.
double Median(std::vector<double> values);

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// Plans and runs; adds to *measured. Growing the workspace is not part of the time.
template <class Params>
Status RunTimed(Result<Plan> (*make_plan)(const Params&, const Context&), const Params& params,
                const Context& context, Workspace* workspace, Measured* measured) {
  Stopwatch planning;
  const Result<Plan> plan = make_plan(params, context);
  if (!plan.ok()) return plan.status();
  measured->seconds += planning.Seconds();
  if (Status status = workspace->Reserve(plan->workspace_bytes()); !status.ok()) return status;
  Stopwatch running;
  if (Status status = plan->run(workspace->data(), workspace->bytes()); !status.ok()) return status;
  measured->seconds += running.Seconds();
  measured->flops += plan->cost().flops;
  measured->bytes += plan->cost().read_bytes + plan->cost().write_bytes;
  if (plan->workspace_bytes() > measured->workspace_bytes)
    measured->workspace_bytes = plan->workspace_bytes();
  return Status::Ok();
}

/// How outputs fared against the reference.
struct Agreement {
  int64_t rows = 0;
  int64_t mismatches = 0;
  double max_ratio = 0;  ///< Largest error in units of what an fp32 evaluation may have.
  std::string first_mismatch;

  bool ok() const { return mismatches == 0; }
  void Add(const Agreement& other);
};

/// Runs the reference on these rows of a call whose outputs are there.
Status CompareRows(std::string_view operator_name, const void* params,
                   const std::vector<int64_t>& rows, int32_t threads, Agreement* agreement);

}  // namespace tamis::tools::demo
