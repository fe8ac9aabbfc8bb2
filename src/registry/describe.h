// DescribeJson: a contract for programs. Nothing else in the library lists an operator's arguments.
#pragma once

#include <string>

#include "base/operator.h"

namespace tamis::registry {

/// One operator as one line of JSON:
///   {"name", "summary", "source", "layout_attribute" (or null), "layout_tensor": whose rank says
///    which form applies (or null),
///    "arguments": in the order of the params struct, each {"name", "role", "type", "doc"} and
///      tensors: "dtypes": [..], "dtype_as" (or null), "shapes": [{"when", "dims": [..]}],
///      "ranked", "read_by_plan",
///        "layout": the attribute that `when` is a choice of (or null), "dtype_attribute": whose
///        choice i makes the dtype "dtype_choices"[i] where that is not null (or null),
///        "wanted_by": the attribute without which the output must be absent (or null), "needs":
///        [..], the optional inputs without which it must be absent
///      attributes: "required", "default" (absent if required; null: not given), "choices"
///      both: "strict": [..], what strict asks beyond "limits" (absent: nothing)
///    "limits": [{"argument", "quantity", "rule", "bounds": [..], "text"}],
///    "envelope": [..], "implementations": [..], "examples": [{"name", "doc", "timed"}]}
/// role: input, optional_input, output, optional_output, inout, optional_inout, attribute.
/// type: tensor, int, float, bool, choice, ints.
std::string DescribeJson(const base::Operator& op);

}  // namespace tamis::registry
