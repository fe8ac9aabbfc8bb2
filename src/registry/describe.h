// Texts made from the contracts: listings for people, JSON for programs, and the typed C interface.
// Nothing else lists an operator's arguments.
#pragma once

#include <string>
#include <string_view>

#include "base/operator.h"

namespace tamis::registry {

/// `text` as a JSON string, quotes included.
std::string JsonString(std::string_view text);

/// One operator as one line of JSON:
///   {"name", "summary", "source", "layout_attribute" (or null), "layout_tensor": whose rank says
///    which form applies (or null),
///    "arguments": in the order of the params struct, each {"name", "role", "type", "doc"} and
///      tensors: "dtypes": [..], "dtype_as" (or null), "shapes": [{"when", "dims": [..]}],
///      "ranked",
///        "layout": the attribute that `when` is a choice of (or null), "dtype_attribute": whose
///        choice i makes the dtype "dtype_choices"[i] where that is not null (or null),
///        "wanted_by": the attribute without which the output must be absent (or null)
///      attributes: "required", "default" (absent if required; null: not given), "choices"
///      both: "strict": [..], what strict asks beyond "limits" (absent: nothing)
///    "limits": [{"argument", "quantity", "rule", "bounds": [..], "text"}],
///    "envelope": [..], "examples": [{"name", "doc", "timed"}]}
/// role: input, optional_input, output, optional_output, inout, optional_inout, attribute.
/// type: tensor, int, float, bool, choice, ints.
std::string DescribeJson(const base::Operator& op);
/// {"version", "operators": [..]}
std::string DescribeAllJson();

/// For a terminal; ends with a newline.
std::string DescribeText(const base::Operator& op);
/// One line per operator: name and summary.
std::string DescribeAllText();

/// The tables of the room's README; ends with a newline.
std::string DescribeMarkdown(const base::Operator& op);

/// The default of an attribute as JSON: 16, 0.5, false, "TND", null.
std::string DefaultJson(const base::Contract& contract, const base::Field& field);

/// Of a tensor: "[T, N, D]", or "TND [T, N, D]; BSND [B, S, N, D]".
std::string ShapesText(const base::Field& field);
/// Of a tensor: "float16, bfloat16", or "as query", or "as query, or by value_dtype".
std::string DTypesText(const base::Field& field);

/// include/tamis/tamis_ops.h: a params struct and the functions of every operator.
std::string CHeader();
/// src/capi/typed_ops.cc: where the members of those structs lie, and the functions.
std::string CSource();

}  // namespace tamis::registry
