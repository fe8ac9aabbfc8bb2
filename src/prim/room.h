// How a room becomes a plan and an operator: the straight way params -> checks -> problem ->
// kernel, written once.
//
// A room is a struct of static members:
//   using Params, Problem
//   const base::Contract& contract()
//   const char* kFolder          of src/ops; absent: the operator's name
//   Status Normalise(const Params&, base::Dims*, Problem*)
//                                inputs are checked; finds derived dimensions. Reads the elements
//                                of no tensor that its contract does not call read_by_plan
//   void ReferenceRow(const Problem&, const Params&, int64_t row, size_t slot, base::Golden*)
//                                the params say where the tensors of the run are
//   prim::CpuWork OnCpu(Problem&, const Params&, Level)
//                                fills problem.args, but for the tensors. The problem is where it
//                                will stay; may take the number of threads, too, if bits do not
//                                depend on it
//   Status CheckStrides(const Problem&, const Params&)
//                                what strides alone can break; absent: nothing
//   void Bind(const Problem&, const Params&, Args*)
//                                the tensors' addresses and strides in the kernels' view
//   Cost CountCost(const Problem&, const Params&)
//                                data may be null: then what it says is not counted
//   const std::vector<base::Example>& examples()
#pragma once

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "base/operator.h"
#include "base/plan_body.h"
#include "parallel/parallel.h"
#include "prim/cpu/scratch.h"
#include "prim/cpu/work.h"

namespace tamis::prim {

inline constexpr int64_t kScratchAlignment = 64;
inline constexpr int64_t kReferenceChunkRows = 256;

/// Of a size that is computed as prim/cpu/scratch.h has it.
inline Status CheckWorkspace(int64_t bytes) {
  if (bytes <= kMostBytes) return Status::Ok();
  return base::Invalid("workspace", "at most 2^56 bytes", "a call that needs more");
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
class RoomPlan final : public internal::PlanBody {
 public:
  using Params = typename Room::Params;

  Status Prepare(Params params, const Context& context) {
    base::Dims dims;
    Room::contract().ForgetUnusedStrides(&params);
    TAMIS_RETURN_IF_ERROR(Room::contract().CheckInputs(&params, &dims));
    TAMIS_RETURN_IF_ERROR(Room::Normalise(params, &dims, &problem_));
    TAMIS_RETURN_IF_ERROR(Room::contract().CheckLimits(&params, dims));
    TAMIS_RETURN_IF_ERROR(Room::contract().CheckOutputs(&params, dims));
    TAMIS_RETURN_IF_ERROR(CheckStrides<Room>(problem_, params));
    params_ = std::move(params);
    dims_ = std::move(dims);
    TAMIS_RETURN_IF_ERROR(base::ResolveThreads(context.threads, &threads_));
    executor_ = context.executor;
    Params standing = params_;  // kernels tell by addresses which tensors there are
    lacking_ = Room::contract().StandIn(&standing);
    return Choose(standing, context);
  }

  Status Run(const Bindings* bindings, void* workspace) const override {
    if (bindings == nullptr) {
      if (lacking_ != nullptr) return base::NoData(*lacking_);
      return RunOn(params_, workspace);
    }
    TAMIS_RETURN_IF_ERROR(base::CheckOperator(Room::contract(), *bindings));
    Params bound;
    TAMIS_RETURN_IF_ERROR(Room::contract().Bind(&params_, bindings->params(), &bound));
    TAMIS_RETURN_IF_ERROR(CheckStrides<Room>(problem_, bound));
    return RunOn(bound, workspace);
  }

  Cost CountCost() const override { return Room::CountCost(problem_, params_); }

  static Status Reference(const Params& params, const base::Dims& dims,
                          const typename Room::Problem& problem, const Executor& executor,
                          int32_t threads, base::Golden* golden) {
    TAMIS_RETURN_IF_ERROR(base::PrepareGolden(Room::contract(), &params, dims, golden));
    parallel::ForEach(executor, threads, static_cast<int64_t>(golden->rows.size()),
                      [&](int64_t slot, int32_t) {
                        Room::ReferenceRow(problem, params, golden->rows[static_cast<size_t>(slot)],
                                           static_cast<size_t>(slot), golden);
                      });
    return Status::Ok();
  }

 private:
  Status RunOn(const Params& tensors, void* workspace) const {
    if (implementation == Implementation::kReference) return RunReference(tensors);
    auto args = problem_.args;
    Room::Bind(problem_, tensors, &args);
    char* const shared = static_cast<char*>(workspace);
    char* const scratch = shared + cpu_.shared_bytes;
    // What a phase leaves for the next one lies with the worker that made it.
    const auto order =
        cpu_.phases.size() > 1 ? parallel::Order::kByShare : parallel::Order::kAscending;
    for (const CpuPhase& phase : cpu_.phases) {
      parallel::ForEach(executor_, threads_, phase.items, order, [&](int64_t item, int32_t worker) {
        phase.kernel(&args, phase.first + item, scratch + worker * cpu_.scratch_bytes, shared);
      });
    }
    return Status::Ok();
  }

  Status Choose(const Params& params, const Context& context) {
    switch (context.implementation) {
      case Implementation::kReference:
        implementation = Implementation::kReference;
        level = Level::kScalar;
        explanation = "reference: float64, as asked";
        return Status::Ok();
      case Implementation::kAuto:
      case Implementation::kCpu: break;
      case Implementation::kCuda:
        return base::Unsupported("implementation", "auto, reference or cpu", "cuda");
      default:
        return base::Invalid("implementation", "auto, reference, cpu or cuda",
                             static_cast<int64_t>(context.implementation));
    }
    implementation = Implementation::kCpu;
    TAMIS_RETURN_IF_ERROR(base::ResolveLevel(context.level, &level));
    if constexpr (requires { Room::OnCpu(problem_, params, level, threads_); }) {
      cpu_ = Room::OnCpu(problem_, params, level, threads_);
    } else {
      cpu_ = Room::OnCpu(problem_, params, level);
    }
    cpu_.scratch_bytes = RoundedUp(cpu_.scratch_bytes, kScratchAlignment);
    cpu_.shared_bytes = RoundedUp(cpu_.shared_bytes, kScratchAlignment);
    int64_t most_items = 0;
    for (const CpuPhase& phase : cpu_.phases) most_items = std::max(most_items, phase.items);
    if (most_items == INT64_MAX)
      return base::Invalid("workspace", "fewer than 2^63 - 1 items of work", "a call of more");
    const int64_t workers = std::min<int64_t>(threads_, most_items);
    workspace_bytes = Plus(Times(workers, cpu_.scratch_bytes), cpu_.shared_bytes);
    TAMIS_RETURN_IF_ERROR(CheckWorkspace(workspace_bytes));
    explanation = "cpu at level " + std::string(base::Name(level)) +
                  (context.level == Level::kAuto ? ", the best here" : ", as asked") + "; " +
                  cpu_.blocking;
    return Status::Ok();
  }

  // The contract's functions want the attributes, too.
  Status RunReference(const Params& tensors) const {
    Params params = params_;
    Room::contract().CopyTensors(&tensors, &params);
    if (!base::WritesAny(Room::contract(), &params)) return Status::Ok();
    int64_t rows = 0;
    TAMIS_RETURN_IF_ERROR(base::CountRows(Room::contract(), &params, dims_, &rows));
    for (int64_t begin = 0; begin < rows; begin += kReferenceChunkRows) {
      base::Golden golden;
      for (int64_t row = begin; row < std::min(rows, begin + kReferenceChunkRows); ++row)
        golden.rows.push_back(row);
      TAMIS_RETURN_IF_ERROR(Reference(params, dims_, problem_, executor_, threads_, &golden));
      base::StoreGolden(Room::contract(), &params, golden);
    }
    return Status::Ok();
  }

  Params params_;
  const std::string* lacking_ = nullptr;  // a tensor that the params brought no memory for
  typename Room::Problem problem_;
  base::Dims dims_;
  int32_t threads_ = 1;
  Executor executor_;
  CpuWork cpu_;
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

template <class Room>
Result<Plan> MakePlan(const typename Room::Params& params, const Context& context) {
  return WithoutThrowing([&]() -> Result<Plan> {
    auto body = std::make_shared<RoomPlan<Room>>();
    TAMIS_RETURN_IF_ERROR(body->Prepare(params, context));
    return Plan(std::move(body));
  });
}

template <class Room>
Status RunOnce(const typename Room::Params& params, const Context& context) {
  Result<Plan> plan = MakePlan<Room>(params, context);
  return plan.ok() ? plan->run() : plan.status();
}

/// The params without strides that nobody checks.
template <class Room>
typename Room::Params Sound(const void* params) {
  auto sound = *static_cast<const typename Room::Params*>(params);
  Room::contract().ForgetUnusedStrides(&sound);
  return sound;
}

template <class Room>
base::Operator MakeOperator() {
  using Params = typename Room::Params;
  base::Operator op;
  op.contract = &Room::contract();
  op.folder = Room::contract().name.c_str();
  if constexpr (requires { Room::kFolder; }) op.folder = Room::kFolder;
  op.examples = &Room::examples();
  op.plan = [](const void* params, const Context& context) {
    return MakePlan<Room>(*static_cast<const Params*>(params), context);
  };
  op.infer = [](const void* params, base::Dims* dims) {
    return WithoutThrowing([&]() -> Status {
      typename Room::Problem problem;
      const Params typed = Sound<Room>(params);
      TAMIS_RETURN_IF_ERROR(Room::contract().CheckInputs(&typed, dims));
      TAMIS_RETURN_IF_ERROR(Room::Normalise(typed, dims, &problem));
      return Room::contract().CheckLimits(&typed, *dims);
    });
  };
  op.reference = [](const void* params, int32_t threads, base::Golden* golden) {
    return WithoutThrowing([&]() -> Status {
      base::Dims dims;
      typename Room::Problem problem;
      const Params typed = Sound<Room>(params);
      TAMIS_RETURN_IF_ERROR(Room::contract().CheckInputs(&typed, &dims));
      TAMIS_RETURN_IF_ERROR(Room::Normalise(typed, &dims, &problem));
      return RoomPlan<Room>::Reference(typed, dims, problem, {}, threads, golden);
    });
  };
  return op;
}

}  // namespace tamis::prim
