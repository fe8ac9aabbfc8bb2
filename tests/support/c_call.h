// A call as the C interface takes it by name, and the judgement on what came of it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "registry/call.h"
#include "tamis/tamis.h"
#include "tests/support/test_call.h"

namespace tamis::test {

/// Tensors, outputs included, and attributes; each may be changed before it is judged. Borrows the
/// memory of the call that it is made from.
class CCall {
 public:
  /// Lays out the outputs of `call` afresh. The call must be one that can be laid out.
  explicit CCall(TestCall* call);

  const base::Contract& contract() const { return *op_->contract; }
  TestCall& source() { return *source_; }

  std::vector<tamis_named_tensor> tensors;
  std::vector<tamis_named_attribute> attributes;

  /// Null: not given.
  tamis_named_tensor* Tensor(const std::string& name);
  tamis_named_attribute* AttributeOf(const std::string& name);
  void Drop(const std::string& name);

  /// Memory and lists that live as long as this.
  void* Memory(size_t bytes, unsigned char fill);
  tamis_int_list List(std::vector<int64_t> values);
  const char* Text(std::string text);

  tamis_status Plan(const tamis_context* context, tamis_plan** plan) const;
  /// kMemory: of their own, or where they are large, none. kNowhere: addresses far from each other
  /// and from everything, behind which nothing is.
  enum class Place { kMemory, kNowhere };
  /// Gives the outputs of the call as it now stands a place. Refused as the call itself is.
  tamis_status LayOutputs(Place place = Place::kMemory);
  /// The next address of Place::kNowhere.
  void* Nowhere();
  /// The same call without the C interface.
  Result<registry::Call> Cpp() const;

 private:
  const base::Operator* op_;
  TestCall* source_;
  std::deque<std::vector<unsigned char>> memory_;
  std::deque<std::vector<int64_t>> lists_;
  std::deque<std::string> texts_;
  uintptr_t nowhere_ = 0;
};

/// How to run.
struct Manner {
  int32_t threads = 1;
  Level level = Level::kAuto;
  Implementation implementation = Implementation::kAuto;
  /// Not 0: memory is missing behind the tensors, and the host has so many bytes. Only calls are
  /// run that need a larger workspace, and must then say so.
  int64_t host_bytes = 0;
};

struct Verdict {
  enum class Outcome {
    kRefused,   ///< With one line that names an argument; nothing was written.
    kAgreed,    ///< Ran, and agrees with the reference.
    kTooLarge,  ///< Planned, and not run: the outputs or the workspace are too large to try.
  };
  Outcome outcome = Outcome::kRefused;
  std::string line;     ///< Of a refusal.
  std::string failure;  ///< What the library did wrong; empty: nothing.
};

/// Plans the call, runs it where it plans, and compares with the reference.
Verdict Judge(CCall* call, const Manner& manner = {});

/// The argument that a complaint begins with: "key" of "key[3]: ..."
std::string ArgumentOf(const std::string& line);

}  // namespace tamis::test
