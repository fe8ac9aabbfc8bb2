// The checks of a run, short: what a plan knows of its tensors, packed into few cache lines.
//
// Walks over the contract, whose fields are large, took twice as long: two runs of a layer took 2.0
// us beside their kernels, now 1.1; after kernels that have filled the caches, 15.7 and 11.
#pragma once

#include <cstdint>
#include <vector>

#include "base/contract.h"

namespace tamis::base {

class Binder {
 public:
  Binder() = default;
  /// For a plan made with these params.
  Binder(const Contract& contract, const void* planned);

  /// As Contract::Bind, which is asked wherever something is unusual.
  Status Bind(const void* planned, const void* given, void* bound) const;

 private:
  struct Planned {
    uint32_t offset;  // in the params struct
    DType dtype;      // kNone: absent
    int8_t rank;
    bool read_by_plan;
    bool output;
    bool contiguous;  // no strided tensor will do
    bool empty;
    int64_t shape[kMaxRank];
  };
  struct Extent {
    uintptr_t begin;
    uintptr_t end;
  };

  static bool Fits(const Planned& planned, const TensorView& view, TensorView* bound,
                   Extent* extent);
  bool FitAll(const void* planned, const void* given, void* bound) const;

  const Contract* contract_ = nullptr;
  std::vector<Planned> tensors_;
};

}  // namespace tamis::base
