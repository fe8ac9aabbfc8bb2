// Everything that can be wrong with one argument of a call, made from the contract.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/support/c_call.h"

namespace tamis::test {

/// A change of one argument.
struct Change {
  /// What the contract alone says about the changed call. kEither: other arguments decide; the call
  /// is refused, or it runs and agrees with the reference.
  enum class Expect { kRefusedByName, kRefused, kEither };

  const char* kind;  ///< "dtype", "stride", ...: the column of docs/trust.md that it counts in.
  std::string what;  ///< "size 1 of 3 is -1"
  Expect expect = Expect::kEither;
  std::function<void(CCall*)> apply;
};

/// Every change of this argument, from the call as it stands: for it, or for another CCall that is
/// made from the same TestCall.
std::vector<Change> HostileChanges(const CCall& call, const base::Field& field);

/// Calls of sizes that no memory holds: one or two dimensions of all tensors at once, inputs by
/// strides of 0, outputs by addresses behind which nothing is. For Manner::host_bytes.
std::vector<Change> HugeSizes(const CCall& call);

/// The changed call judged, and what the library did wrong as the failure. Outputs follow the
/// changed shapes where those are what it was refused for.
Verdict JudgeChange(CCall* call, const base::Field& field, const Change& change,
                    const Manner& manner = {});

}  // namespace tamis::test
