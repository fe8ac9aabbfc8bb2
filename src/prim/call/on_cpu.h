// The implementation `cpu` of any room: its kernels at one level, over the workers of the context.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "parallel/parallel.h"
#include "prim/call/implementation.h"
#include "prim/call/scratch.h"
#include "prim/call/work.h"

namespace tamis::prim {

template <class Room>
class OnCpu final : public Prepared<Room> {
 public:
  using typename Prepared<Room>::Params;
  using typename Prepared<Room>::Problem;

  static Status Make(const Context& context, std::unique_ptr<Prepared<Room>>* prepared) {
    auto made = std::make_unique<OnCpu>(context);
    TAMIS_RETURN_IF_ERROR(base::ResolveLevel(context.level, &made->target_.level));
    *prepared = std::move(made);
    return Status::Ok();
  }
  explicit OnCpu(const Context& context) : context_(context) { target_.threads = context.threads; }

  Status Prepare(Problem& problem, const Params& params, int64_t* workspace_bytes) override {
    work_.Clear();
    Room::OnCpu(problem, params, target_, &work_);
    work_.scratch_bytes = RoundedUp(work_.scratch_bytes, kAlignment);
    work_.shared_bytes = RoundedUp(work_.shared_bytes, kAlignment);
    int64_t most_items = 0;
    for (const CpuPhase& phase : work_.phases) most_items = std::max(most_items, phase.items);
    if (most_items == INT64_MAX)
      return base::Invalid("workspace", "fewer than 2^63 - 1 items of work", "a call of more");
    const int64_t workers = std::min<int64_t>(target_.threads, most_items);
    *workspace_bytes = Plus(Times(workers, work_.scratch_bytes), work_.shared_bytes);
    return CheckWorkspace(*workspace_bytes);
  }

  Status Run(const Problem& problem, const base::Dims& /*dims*/, const Params& /*attributes*/,
             const Params& tensors, void* workspace) const override {
    auto args = problem.args;
    Room::Bind(problem, tensors, &args);
    char* const shared = static_cast<char*>(workspace);
    char* const scratch = shared + work_.shared_bytes;
    // What a phase leaves for the next one lies with the worker that made it.
    const auto order =
        work_.phases.size() > 1 ? parallel::Order::kByShare : parallel::Order::kAscending;
    for (const CpuPhase& phase : work_.phases) {
      parallel::ForEach(context_.executor, target_.threads, phase.items, order,
                        [&](int64_t item, int32_t worker) {
                          phase.kernel(&args, phase.first + item,
                                       scratch + worker * work_.scratch_bytes, shared);
                        });
    }
    return Status::Ok();
  }

  Level level() const override { return target_.level; }
  std::string Describe(const Problem& problem) const override {
    return "cpu at level " + std::string(base::Name(target_.level)) +
           (context_.level == Level::kAuto ? ", the best here" : ", as asked") + "; " +
           Room::Blocking(problem);
  }

 private:
  static constexpr int64_t kAlignment = 64;

  Context context_;
  CpuTarget target_;
  CpuWork work_;
};

}  // namespace tamis::prim
