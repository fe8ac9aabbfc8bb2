// A plan as far as it does not matter who computes: params are checked once, a run brings tensors,
// a renewal brings integers.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/binder.h"
#include "base/cpu_features.h"
#include "base/errors.h"
#include "base/operator.h"
#include "base/plan_body.h"

namespace tamis::prim {

template <class Room>
Status CheckInputs(typename Room::Params* params, base::Dims* dims) {
  Room::contract().ForgetUnusedStrides(params);
  return Room::contract().CheckInputs(params, dims);
}

/// What checked inputs mean, and whether that keeps the document's limits.
template <class Room>
Status Understand(const typename Room::Params& params, base::Dims* dims,
                  typename Room::Problem* problem) {
  TAMIS_RETURN_IF_ERROR(Room::Normalise(params, dims, problem));
  return Room::contract().CheckLimits(&params, *dims);
}

/// Both: the way into every room.
template <class Room>
Status TakeParams(typename Room::Params* params, base::Dims* dims,
                  typename Room::Problem* problem) {
  TAMIS_RETURN_IF_ERROR(CheckInputs<Room>(params, dims));
  return Understand<Room>(*params, dims, problem);
}

template <class Room>
Status CheckStrides([[maybe_unused]] const typename Room::Problem& problem,
                    [[maybe_unused]] const typename Room::Params& params) {
  if constexpr (requires { Room::CheckStrides(problem, params); }) {
    return Room::CheckStrides(problem, params);
  } else {
    return Status::Ok();
  }
}

template <class Room>
class BoundPlan : public internal::PlanBody {
 public:
  using Params = typename Room::Params;
  using Problem = typename Room::Problem;

  Status Prepare(Params params, const Context& context) {
    const base::Contract& contract = Room::contract();
    TAMIS_RETURN_IF_ERROR(CheckInputs<Room>(&params, &dims_));
    const uint64_t inferred = contract.ClaimInferred(&params);
    TAMIS_RETURN_IF_ERROR(Understand<Room>(params, &dims_, &problem_));
    TAMIS_RETURN_IF_ERROR(contract.ShapeInferred(inferred, &params, dims_));
    TAMIS_RETURN_IF_ERROR(contract.CheckOutputs(&params, dims_));
    TAMIS_RETURN_IF_ERROR(CheckStrides<Room>(problem_, params));
    params_ = standing_ = std::move(params);
    lacking_ = contract.StandIn(&standing_);
    binder_ = base::Binder(contract, &params_);
    context_ = context;
    TAMIS_RETURN_IF_ERROR(base::ResolveThreads(context.threads, &context_.threads));
    TAMIS_RETURN_IF_ERROR(Start());
    KeepIntegers();
    return Status::Ok();
  }

  Status Run(const Bindings* bindings, void* workspace) const override {
    if (!usable_) {
      return base::Invalid("plan", "a renewal that succeeds, after one that failed",
                           "a run before it");
    }
    if (bindings == nullptr) {
      if (lacking_ != nullptr) return base::NoData(*lacking_);
      return RunOn(standing_, workspace);
    }
    TAMIS_RETURN_IF_ERROR(base::CheckOperator(Room::contract(), *bindings));
    Params bound;
    TAMIS_RETURN_IF_ERROR(binder_.Bind(&params_, bindings->params(), &bound));
    TAMIS_RETURN_IF_ERROR(CheckStrides<Room>(problem_, bound));
    return RunOn(bound, workspace);
  }

  Status Renew(const Bindings& integers, bool* changed) override {
    const base::Contract& contract = Room::contract();
    TAMIS_RETURN_IF_ERROR(base::CheckOperator(contract, integers));
    TAMIS_RETURN_IF_ERROR(contract.CheckIntegers(&params_, integers.params()));
    *changed = !usable_ || !HasIntegers(integers.params());
    if (!*changed) return Status::Ok();
    usable_ = false;
    contract.TakeIntegers(&params_, integers.params());
    contract.TakeIntegers(&standing_, integers.params());
    TAMIS_RETURN_IF_ERROR(Understand<Room>(params_, &dims_, &problem_));
    TAMIS_RETURN_IF_ERROR(contract.CheckOutputs(&params_, dims_));
    TAMIS_RETURN_IF_ERROR(Rework());
    KeepIntegers();
    usable_ = true;
    return Status::Ok();
  }

  const TensorView* Find(std::string_view name) const override {
    const base::Field* field = Room::contract().Find(name);
    return field == nullptr || !field->is_tensor() ? nullptr
                                                   : &base::Contract::tensor(&params_, *field);
  }

 protected:
  /// Finds who computes; then as Rework.
  virtual Status Start() = 0;
  /// Makes the work of the problem as it is now, and sets workspace_bytes.
  virtual Status Rework() = 0;
  /// On tensors that passed every check.
  virtual Status RunOn(const Params& tensors, void* workspace) const = 0;

  Params params_;    ///< As given.
  Params standing_;  ///< No tensor lacks an address: kernels tell by those which tensors there are.
  Problem problem_;
  base::Dims dims_;
  Context context_;  ///< With its threads counted.

 private:
  // What was read may change, or go, from now on.
  void KeepIntegers() {
    Room::contract().CopyIntegers(&params_, &copies_);
    Room::contract().ForgetIntegers(&params_);
    Room::contract().ForgetIntegers(&standing_);
  }

  bool HasIntegers(const void* given) const {
    if (!Room::contract().HasIntegers(&params_, copies_, given)) return false;
    const auto& in = *static_cast<const Params*>(given);
    if constexpr (requires { in.block_table; }) {
      if (!problem_.page_table.Holds(in.block_table)) return false;
    }
    if constexpr (requires { in.window_block_table; }) {
      if (!problem_.window.page_table.Holds(in.window_block_table)) return false;
    }
    return true;
  }

  const std::string* lacking_ = nullptr;  // a tensor that the params brought no memory for
  bool usable_ = true;
  base::Binder binder_;
  std::vector<int64_t> copies_;  // of what was read, page tables left out
};

}  // namespace tamis::prim
