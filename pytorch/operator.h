// What the binding must know of an operator: its schema, and how its arguments travel.
#pragma once

#include <cstddef>
#include <iterator>

namespace tamis::torch_ops {

enum class Kind {
  kTensor,
  kUpdatedTensor,  // written by the call
  kOptionalUpdatedTensor,
  kOptionalTensor,
  kInt32Tensor,  // of 64 bits, it is copied
  kOptionalInt32Tensor,
  kInt,
  kFloat,
  kBool,
  kString,
  kInts,
  kOptionalInts,
};

/// With `strict`, a tensor that the document does not take otherwise: never copied.
inline constexpr bool kContiguous = true;

struct Argument {
  const char* name;
  Kind kind;
  bool contiguous = false;
};

struct Operator {
  const char* name;
  const char* schema;
  const Argument* arguments;  // in the schema's order
  size_t argument_count;
  const char* const* results;  // names of the outputs, in the schema's order
  size_t result_count;
};

}  // namespace tamis::torch_ops
