// The named examples of the operators, with data: for `tamis case new` and the benchmark.
#pragma once

#include <cstdint>
#include <string>

#include "base/operator.h"
#include "tools/tamis/case.h"

namespace tamis::tools {

/// The example of that name, or an error that lists the names.
Result<const base::Example*> FindExample(const base::Operator& op, const std::string& name);

/// The dtype of an option --dtype, or an error that lists those there are.
Result<DType> ExampleDType(const std::string& name);
inline constexpr const char* kExampleDTypes = "float16, bfloat16 or float32";

/// Fills the example's tensors. The values depend on `seed` and the tensor's name and nothing else.
/// `dtype` is used wherever the contract admits it.
Result<CaseData> MakeExample(const base::Operator& op, const base::Example& example, DType dtype,
                             uint64_t seed, int32_t threads);

}  // namespace tamis::tools
