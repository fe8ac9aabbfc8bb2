// The operators that know how keys are dealt to ranks.
#include <algorithm>
#include <string>

#include "base/errors.h"
#include "ops/merge/problem.h"
#include "prim/call/room.h"

namespace tamis {
namespace {

// What both operators are told of the deal.
template <class Params, class Problem>
Status TakeDeal(const Params& params, base::Dims* dims, Problem* problem) {
  if (params.world < 1) return base::Invalid("world", "at least 1", params.world);
  if (params.rank < 0 || params.rank >= params.world) {
    return base::Invalid("rank", "0 to world - 1 = " + std::to_string(params.world - 1),
                         params.rank);
  }
  if (params.interleave < 1) return base::Invalid("interleave", "at least 1", params.interleave);
  const int64_t most = params.world - params.rank;
  if (params.ranks < 1 || params.ranks > most)
    return base::Invalid("ranks", "1 to world - rank = " + std::to_string(most), params.ranks);
  problem->tokens = (*dims)["T"];
  problem->entries = (*dims)["K"];
  problem->rank = params.rank;
  problem->world = params.world;
  problem->interleave = params.interleave;
  problem->ranks = params.ranks;
  return Status::Ok();
}

}  // namespace
}  // namespace tamis

namespace tamis::localize_indices {

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  TAMIS_RETURN_IF_ERROR(TakeDeal(params, dims, problem));
  if (problem->entries > INT32_MAX)  // counts are int32
    return base::Invalid("indices", "at most 2^31 - 1 entries a row", problem->entries);
  return Status::Ok();
}

void Room::Bind(const Problem&, const Params& in, KernelArgs* args) {
  KernelArgs& a = *args;
  a.indices = prim::Data<const int32_t>(in.indices);
  a.indices_stride = in.indices.strides[0];
  a.out_indices = prim::Data<int32_t>(in.sparse_indices);
  a.out_indices_stride = in.sparse_indices.strides[0];
  a.counts = prim::Data<int32_t>(in.counts);
  a.counts_stride = in.counts.strides[0];
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget&, prim::CpuWork* work) {
  KernelArgs& a = p.args;
  a = {};
  Bind(p, in, &a);
  a.entries = p.entries;
  a.rank = p.rank;
  a.world = p.world;
  a.interleave = p.interleave;
  a.ranks = p.ranks;

  // Rows of which nothing is written are the caller's word alone, and may be any number.
  const bool writes = p.entries > 0 || !in.counts.absent();
  work->phases = {{writes ? p.tokens : 0, &LocalizeToken}};
}

std::string Room::Blocking(const Problem&) { return "a token per item"; }

Cost Room::CountCost(const Problem& p, const Params& in) {
  const auto tokens = static_cast<double>(p.tokens);
  Cost cost;
  cost.read_bytes = 4.0 * tokens * static_cast<double>(p.entries);
  cost.write_bytes = 4.0 * tokens * (static_cast<double>(p.entries) + (in.counts.absent() ? 0 : 1));
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::localize_indices

namespace tamis::globalize_indices {
namespace {

// No place and no position reaches it.
constexpr int64_t kPastInt32 = int64_t{1} << 31;

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  return TakeDeal(params, dims, problem);
}

void Room::Bind(const Problem&, const Params& in, KernelArgs* args) {
  KernelArgs& a = *args;
  a.indices = prim::Data<const int32_t>(in.indices);
  a.indices_stride = in.indices.strides[0];
  a.out_indices = prim::Data<int32_t>(in.sparse_indices);
  a.out_indices_stride = in.sparse_indices.strides[0];
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget&, prim::CpuWork* work) {
  KernelArgs& a = p.args;
  a = {};
  Bind(p, in, &a);
  a.entries = p.entries;
  a.rank = std::min(p.rank, kPastInt32);
  a.world = std::min(p.world, kPastInt32);
  a.interleave = std::min(p.interleave, kPastInt32);
  a.ranks = std::min(p.ranks, kPastInt32);

  // Rows without entries are the caller's word alone, and may be any number.
  work->phases = {{p.entries > 0 ? p.tokens : 0, &GlobalizeToken}};
}

std::string Room::Blocking(const Problem&) { return "a token per item"; }

Cost Room::CountCost(const Problem& p, const Params&) {
  Cost cost;
  cost.read_bytes = 4.0 * static_cast<double>(p.tokens) * static_cast<double>(p.entries);
  cost.write_bytes = cost.read_bytes;
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::globalize_indices
