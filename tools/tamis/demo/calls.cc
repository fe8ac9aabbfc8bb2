#include "tools/tamis/demo/calls.h"

#include <algorithm>

#include "base/errors.h"
#include "registry/compare.h"
#include "registry/registry.h"
#include "tools/tamis/case.h"

namespace tamis::tools::demo {

int64_t CountWindows(int64_t tokens) {
  return tokens < kWindow ? 0 : (tokens - kWindow) / kStride + 1;
}

int64_t CountBlocks(int64_t windows) {
  return windows == 0 ? 0 : ((windows - 1) * kStride + kWindow + kBlock - 1) / kBlock;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Status Workspace::Reserve(int64_t bytes) {
  if (bytes <= bytes_ && memory_ != nullptr) return Status::Ok();
  const Result<std::shared_ptr<void>> memory = AllocateBytes("workspace", bytes);
  if (!memory.ok()) return memory.status();
  memory_ = *memory;
  bytes_ = bytes;
  return Status::Ok();
}

void Agreement::Add(const Agreement& other) {
  if (mismatches == 0) first_mismatch = other.first_mismatch;
  rows += other.rows;
  mismatches += other.mismatches;
  max_ratio = std::max(max_ratio, other.max_ratio);
}

Status CompareRows(std::string_view operator_name, const void* params,
                   const std::vector<int64_t>& rows, int32_t threads, Agreement* agreement) {
  const base::Operator* op = registry::Find(operator_name);
  const auto comparisons = registry::CompareWithReference(*op, params, rows, threads);
  if (!comparisons.ok()) return comparisons.status();
  Agreement call;
  call.rows = static_cast<int64_t>(rows.size());
  for (const registry::OutputComparison& c : *comparisons) {
    if (call.mismatches == 0 && !c.ok())
      call.first_mismatch = std::string(operator_name) + ": " + c.output + ": " + c.first_mismatch;
    call.mismatches += c.mismatches;
    call.max_ratio = std::max(call.max_ratio, c.max_ratio);
  }
  agreement->Add(call);
  return Status::Ok();
}

}  // namespace tamis::tools::demo
