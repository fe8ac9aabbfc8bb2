// The implementation `reference` of any room: its float64 rows, a few hundred at a time.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "base/golden.h"
#include "parallel/parallel.h"
#include "prim/call/implementation.h"

namespace tamis::prim {

/// Computes golden->rows.
template <class Room>
Status ReferenceRows(const typename Room::Problem& problem, const base::Dims& dims,
                     const typename Room::Params& params, const Executor& executor, int32_t threads,
                     base::Golden* golden) {
  TAMIS_RETURN_IF_ERROR(base::PrepareGolden(Room::contract(), &params, dims, golden));
  const auto for_indices = [&](int64_t count, const std::function<void(int64_t)>& body) {
    parallel::ForEach(executor, threads, count, [&](int64_t i, int32_t) { body(i); });
  };
  const auto for_rows = [&](const auto& put) {
    for_indices(static_cast<int64_t>(golden->rows.size()), [&](int64_t slot) {
      put(golden->rows[static_cast<size_t>(slot)], static_cast<size_t>(slot));
    });
  };
  if constexpr (requires { Room::ReferenceOf(problem, params, golden->rows, for_indices); }) {
    const auto reference = Room::ReferenceOf(problem, params, golden->rows, for_indices);
    for_rows([&](int64_t row, size_t slot) { reference.PutRow(row, slot, golden); });
  } else {
    for_rows(
        [&](int64_t row, size_t slot) { Room::ReferenceRow(problem, params, row, slot, golden); });
  }
  return Status::Ok();
}

template <class Room>
class OnReference final : public Prepared<Room> {
 public:
  using typename Prepared<Room>::Params;
  using typename Prepared<Room>::Problem;

  static Status Make(const Context& context, std::unique_ptr<Prepared<Room>>* prepared) {
    *prepared = std::make_unique<OnReference>(context);
    return Status::Ok();
  }
  explicit OnReference(const Context& context) : context_(context) {}

  Status Prepare(Problem& /*problem*/, const Params& /*params*/,
                 int64_t* workspace_bytes) override {
    *workspace_bytes = 0;
    return Status::Ok();
  }

  Status Run(const Problem& problem, const base::Dims& dims, const Params& attributes,
             const Params& tensors, void* /*workspace*/) const override {
    constexpr int64_t kChunkRows = 256;
    const base::Contract& contract = Room::contract();
    Params params = attributes;  // the contract's functions want both
    contract.CopyTensors(&tensors, &params);
    if (!base::WritesAny(contract, &params)) return Status::Ok();
    int64_t rows = 0;
    TAMIS_RETURN_IF_ERROR(base::CountRows(contract, &params, dims, &rows));
    for (int64_t begin = 0; begin < rows; begin += kChunkRows) {
      base::Golden golden;
      for (int64_t row = begin; row < std::min(rows, begin + kChunkRows); ++row)
        golden.rows.push_back(row);
      TAMIS_RETURN_IF_ERROR(
          ReferenceRows<Room>(problem, dims, params, context_.executor, context_.threads, &golden));
      base::StoreGolden(contract, &params, golden);
    }
    return Status::Ok();
  }

  Level level() const override { return Level::kScalar; }
  std::string Describe(const Problem& /*problem*/) const override {
    return "reference: float64, as asked";
  }

 private:
  Context context_;
};

}  // namespace tamis::prim
