// How a room becomes a plan and an operator: the straight way params -> checks -> problem ->
// kernel, written once.
//
// A room is a struct of static members:
//   using Params, Problem
//   const base::Contract& contract()
//   const char* kFolder          of src/ops; absent: the operator's name
//   Status Normalise(const Params&, base::Dims*, Problem*)
//                                inputs are checked; finds derived dimensions. Reads the elements
//                                of no tensor that its contract does not call read_by_plan. Sets
//                                every member that depends on integers: a renewed plan calls it
//                                again for the same problem
//   void ReferenceRow(const Problem&, const Params&, int64_t row, size_t slot, base::Golden*)
//                                the params say where the tensors of the run are. Or, where rows
//                                share what costs much:
//   Reference ReferenceOf(const Problem&, const Params&, const std::vector<int64_t>& rows,
//                         const ForIndices&)
//                                something with PutRow(row, slot, golden)
//   void OnCpu(Problem&, const Params&, const CpuTarget&, CpuWork*)
//                                fills problem.args, but for the tensors, and the work, which is
//                                clear. The problem is where it will stay. Lists keep their
//                                memory: a renewed plan calls it again. Bits may not depend on the
//                                number of threads
//   std::string Blocking(const Problem&)
//                                what OnCpu has chosen, for people
//   Status CheckStrides(const Problem&, const Params&)
//                                what strides alone can break; absent: nothing
//   void Bind(const Problem&, const Params&, Args*)
//                                the tensors' addresses and strides in the kernels' view
//   Cost CountCost(const Problem&, const Params&)
//                                data may be null: then what it says is not counted
//   const std::vector<base::Example>& examples()
// and, where there are more than `cpu` and `reference`, its list of implementations, the first of
// which that takes a problem computes it:
//   std::span<const ImplementationOf<Room>> implementations()
#pragma once

#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "base/operator.h"
#include "prim/call/bound_plan.h"
#include "prim/call/implementation.h"
#include "prim/call/on_cpu.h"
#include "prim/call/reference.h"

namespace tamis::prim {

template <class Room>
std::span<const ImplementationOf<Room>> ImplementationsOf() {
  if constexpr (requires { Room::implementations(); }) {
    return Room::implementations();
  } else {
    static constexpr ImplementationOf<Room> kList[] = {
        {Implementation::kCpu, LacksNothing<Room>, OnCpu<Room>::Make},
        {Implementation::kReference, LacksNothing<Room>, OnReference<Room>::Make}};
    return kList;
  }
}

template <class Room>
class RoomPlan final : public BoundPlan<Room> {
 public:
  using typename BoundPlan<Room>::Params;

  Cost CountCost() const override { return Room::CountCost(this->problem_, this->params_); }
  std::string Explain() const override {
    std::string text = prepared_->Describe(this->problem_);
    for (const ImplementationOf<Room>& entry : ImplementationsOf<Room>()) {
      if (entry.name == this->implementation) continue;
      const std::string lacks = entry.lacks(this->problem_, this->params_);
      text += (lacks.empty() ? "; also here: " : "; not: ") + std::string(base::Name(entry.name));
      if (!lacks.empty()) text += " (" + lacks + ")";
    }
    return text;
  }

 private:
  Status Start() override {
    TAMIS_RETURN_IF_ERROR(base::CheckImplementation(this->context_.implementation));
    const bool automatic = this->context_.implementation == Implementation::kAuto;
    for (const ImplementationOf<Room>& entry : ImplementationsOf<Room>()) {
      if (!automatic && this->context_.implementation != entry.name) continue;
      const std::string lacks = entry.lacks(this->problem_, this->params_);
      if (!lacks.empty()) {
        if (automatic) continue;
        return {StatusCode::kUnsupported, "implementation: " + lacks};
      }
      TAMIS_RETURN_IF_ERROR(entry.make(this->context_, &prepared_));
      this->implementation = entry.name;
      this->level = prepared_->level();
      return Rework();
    }
    std::string known = "auto";
    for (const ImplementationOf<Room>& entry : ImplementationsOf<Room>())
      known += ", " + std::string(base::Name(entry.name));
    return base::Unsupported("implementation", known, base::Name(this->context_.implementation));
  }

  Status Rework() override {
    return prepared_->Prepare(this->problem_, this->standing_, &this->workspace_bytes);
  }

  Status RunOn(const Params& tensors, void* workspace) const override {
    return prepared_->Run(this->problem_, this->dims_, this->params_, tensors, workspace);
  }

  std::unique_ptr<Prepared<Room>> prepared_;
};

/// Memory that the host refuses becomes a Status: no exception leaves the library.
template <class Function>
auto WithoutThrowing(Function&& function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kNoMemory, "host memory: an allocation failed while planning");
  } catch (const std::length_error&) {  // a vector longer than any memory
    return Status(StatusCode::kNoMemory, "host memory: a list longer than memory while planning");
  }
}

template <class Body>
Result<Plan> MakePlanOf(const typename Body::Params& params, const Context& context) {
  return WithoutThrowing([&]() -> Result<Plan> {
    auto body = std::make_shared<Body>();
    TAMIS_RETURN_IF_ERROR(body->Prepare(params, context));
    return Plan(std::move(body));
  });
}

template <class Room>
Result<Plan> MakePlan(const typename Room::Params& params, const Context& context) {
  return MakePlanOf<RoomPlan<Room>>(params, context);
}

template <class Room>
Status RunOnce(const typename Room::Params& params, const Context& context) {
  Result<Plan> plan = MakePlan<Room>(params, context);
  return plan.ok() ? plan->run() : plan.status();
}

/// `MakePlan` plans, and `Rows` computes rows of the reference, for checked params.
template <class Room, auto MakePlan, auto Rows>
base::Operator OperatorOf() {
  using Params = typename Room::Params;
  base::Operator op;
  op.contract = &Room::contract();
  op.folder = Room::contract().name.c_str();
  if constexpr (requires { Room::kFolder; }) op.folder = Room::kFolder;
  op.examples = &Room::examples();
  op.plan = [](const void* params, const Context& context) {
    return MakePlan(*static_cast<const Params*>(params), context);
  };
  op.infer = [](const void* params, base::Dims* dims) {
    return WithoutThrowing([&]() -> Status {
      typename Room::Problem problem;
      Params typed = *static_cast<const Params*>(params);
      return TakeParams<Room>(&typed, dims, &problem);
    });
  };
  op.reference = [](const void* params, int32_t threads, base::Golden* golden) {
    return WithoutThrowing([&]() -> Status {
      base::Dims dims;
      typename Room::Problem problem;
      Params typed = *static_cast<const Params*>(params);
      TAMIS_RETURN_IF_ERROR(TakeParams<Room>(&typed, &dims, &problem));
      return Rows(problem, dims, typed, {}, threads, golden);
    });
  };
  return op;
}

template <class Room>
base::Operator MakeOperator() {
  base::Operator op = OperatorOf<Room, MakePlan<Room>, ReferenceRows<Room>>();
  for (const ImplementationOf<Room>& entry : ImplementationsOf<Room>())
    op.implementations.push_back(entry.name);
  return op;
}

}  // namespace tamis::prim
