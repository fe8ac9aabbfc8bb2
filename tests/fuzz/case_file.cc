#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "base/checked.h"
#include "base/dtype.h"
#include "tests/fuzz/targets.h"
#include "tests/support/allocations.h"
#include "tools/tamis/case.h"

namespace tamis::fuzz {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 22;

// A file in memory that has a path.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* bytes, size_t size) : fd_(memfd_create("case", MFD_CLOEXEC)) {
    whole_ = fd_ >= 0 && write(fd_, bytes, size) == static_cast<ssize_t>(size);
  }
  ~MemoryFile() {
    if (fd_ >= 0) close(fd_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  bool whole() const { return whole_; }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
  bool whole_ = false;
};

std::string Complaint(const Status& status) {
  const std::string& line = status.message();
  if (line.empty()) return "refused without a word";
  if (status.code() == StatusCode::kInternal) return "an internal error: " + line;
  return {};
}

bool Small(const registry::Call& call) {
  const auto outputs = call.Outputs();
  int64_t all = 0;
  for (const registry::Call::Output& output : *outputs) {
    int64_t bytes = base::ItemSize(output.dtype);
    for (int64_t size : output.shape) {
      if (!base::CheckedMul(bytes, size, &bytes)) return false;
    }
    if (!base::CheckedAdd(all, bytes, &all)) return false;
  }
  return all <= kMostBytes;
}

}  // namespace

std::string TryCaseFile(const uint8_t* bytes, size_t size) try {
  const test::LargestAllocation largest(kLargestAllocation);
  const MemoryFile file(bytes, size);
  if (!file.whole()) return "the fuzzer's own file could not be written";
  const Result<tools::CaseData> data = tools::ReadCase(file.path());
  if (!data.ok()) return Complaint(data.status());
  Result<registry::Call> call = tools::BuildCall(*data);
  if (!call.ok()) return Complaint(call.status());
  if (const auto outputs = call->Outputs(); !outputs.ok()) return Complaint(outputs.status());
  if (const Status expected =
          registry::CheckExpected(call->op(), call->params(), tools::ExpectedViews(*data));
      !expected.ok())
    return Complaint(expected);
  if (!Small(*call)) return {};
  const Result<tools::Outputs> outputs = tools::AllocateOutputs(&*call);
  if (!outputs.ok()) return Complaint(outputs.status());
  const Result<Plan> plan = call->MakePlan({.threads = 1});
  if (!plan.ok()) return Complaint(plan.status());
  if (plan->workspace_bytes() > kMostBytes) return {};
  const Status status = plan->run();
  return status.ok() ? std::string() : "planned, but did not run: " + status.message();
} catch (const std::bad_alloc&) {
  return {};  // the command line makes a line and exit code 2 of it
}

}  // namespace tamis::fuzz
