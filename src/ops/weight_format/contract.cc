#include "base/contract.h"

#include "ops/weight_format/problem.h"

namespace tamis::weight_format {
namespace {

template <class Params>
base::Contract Describe(const char* name, const char* summary, const char* weight,
                        const char* output) {
  return base::ContractBuilder<Params>(
             name, summary, "npu_sparse_attention_pto (document 003), format NZ of its weights")
      .Input("weight", &Params::weight,
             {.shape = "rows, columns",
              .doc = weight,
              .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
      .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
      .Output("output", &Params::output,
              {.shape = "rows, columns", .doc = output, .dtype_as = "weight"})
      .RowDims({{"", 1}})
      .Build();
}

}  // namespace

const base::Contract& NdToNz::contract() {
  static const base::Contract kContract = Describe<Params>(
      "nd_to_nz", "A weight matrix from row-major into panels of 16 columns",
      "row-major; rows and columns are multiples of 16", "panels of 16 columns, dense");
  return kContract;
}

const base::Contract& NzToNd::contract() {
  static const base::Contract kContract = Describe<Params>(
      "nz_to_nd", "A weight matrix from panels of 16 columns into row-major",
      "panels of 16 columns, dense; rows and columns are multiples of 16", "row-major");
  return kContract;
}

}  // namespace tamis::weight_format
