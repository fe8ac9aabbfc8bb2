// Who computes what a room means: an entry of the room's list, and what it keeps for one plan.
#pragma once

#include <memory>
#include <string>

#include "base/contract.h"
#include "tamis/context.hpp"
#include "tamis/status.hpp"

namespace tamis::prim {

/// An implementation, ready for one plan.
template <class Room>
class Prepared {
 public:
  using Params = typename Room::Params;
  using Problem = typename Room::Problem;

  virtual ~Prepared() = default;
  /// Makes the work of the problem, when the plan is made and when it is renewed. Which tensors
  /// there are, `params` tell by their addresses; nothing may be read there.
  virtual Status Prepare(Problem& problem, const Params& params, int64_t* workspace_bytes) = 0;
  /// On tensors that passed every check, in a workspace of that size.
  virtual Status Run(const Problem& problem, const base::Dims& dims, const Params& attributes,
                     const Params& tensors, void* workspace) const = 0;
  virtual Level level() const = 0;
  /// "cpu at level avx2, as asked; 64 rows per item"
  virtual std::string Describe(const Problem& problem) const = 0;
};

template <class Room>
struct ImplementationOf {
  Implementation name;
  /// Why it cannot take a problem; empty: it can.
  std::string (*lacks)(const typename Room::Problem& problem, const typename Room::Params& params);
  /// The context's threads are counted.
  Status (*make)(const Context& context, std::unique_ptr<Prepared<Room>>* prepared);
};

template <class Room>
std::string LacksNothing(const typename Room::Problem& /*problem*/,
                         const typename Room::Params& /*params*/) {
  return {};
}

}  // namespace tamis::prim
