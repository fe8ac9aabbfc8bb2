// Case files: one call in one safetensors file.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "registry/call.h"
#include "registry/compare.h"
#include "tools/tamis/safetensors.h"

namespace tamis::tools {

/// What a case holds, before the operator's contract has judged it.
struct CaseData {
  std::string op;            ///< Metadata tamis.op.
  std::string attrs = "{}";  ///< Metadata tamis.attrs: a JSON object.
  std::string source;        ///< Metadata tamis.source: free text.
  std::vector<StoredTensor> inputs;
  std::vector<StoredTensor> expected;         ///< Named as the outputs, without "expected.".
  std::vector<std::shared_ptr<void>> memory;  ///< What the tensors point into.
};

/// Reads the file and sorts its content; the operator and attributes are not looked at yet.
Result<CaseData> ReadCase(const std::string& path);

Status WriteCase(const std::string& path, const CaseData& data, const WriteProgress& progress = {});

/// The call, its attributes and inputs set by name. Refuses unknown operators, attributes and
/// tensors, attributes of another type or given twice, and missing inputs and attributes. The call
/// borrows the tensors of `data`. `strict` sets that attribute whatever the case says.
Result<registry::Call> BuildCall(const CaseData& data, bool strict = false);

/// The attributes alone.
Status SetAttributes(const std::string& json, bool strict, registry::Call* call);

/// Memory for all outputs of a call but those to omit, set in it; and the tensors that the call
/// updates in place, which stay where they are.
struct Outputs {
  std::vector<StoredTensor> tensors;
  std::vector<std::shared_ptr<void>> memory;
};
Result<Outputs> AllocateOutputs(registry::Call* call, const std::vector<std::string>& omit = {});

/// 64-byte aligned memory, or an error that says for what.
Result<std::shared_ptr<void>> AllocateBytes(const std::string& what, int64_t bytes);

registry::Expected ExpectedViews(const CaseData& data);

}  // namespace tamis::tools
