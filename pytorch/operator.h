// What the binding must know of an operator: its schema, and how its arguments travel.
#pragma once

#include <cstddef>
#include <span>

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

struct Argument {
  const char* name;
  Kind kind;
  bool contiguous = false;  ///< `strict` takes it so only: never copied.
  bool read_by_plan = false;
};

/// Most of any operator.
inline constexpr size_t kMostArguments = 48;
inline constexpr size_t kMostStrings = 8;

/// Two overloads: one gives its outputs as results, `out` takes them after its other arguments.
/// An operator without outputs, which only updates tensors in place, has no `out`.
struct Operator {
  const char* name;
  const char* schema;
  const char* out_name = nullptr;
  const char* out_schema = nullptr;
  std::span<const Argument> arguments;  ///< In the schemas' order.
  std::span<const Argument> outputs = {};
  bool has_backward = false;  ///< Registered in Python, for the first of the overloads.
};

}  // namespace tamis::torch_ops
