#include "tests/support/c_call.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/checked.h"
#include "base/errors.h"
#include "capi/handles.h"
#include "tests/support/composition.h"

namespace tamis::test {
namespace {

constexpr int64_t kMostOutputBytes = int64_t{1} << 22;
constexpr int64_t kMostWorkspaceBytes = int64_t{1} << 26;
constexpr unsigned char kUntouched = 0xAB;
constexpr int64_t kMostBlockTokens = int64_t{1} << 16;

struct PlanDeleter {
  void operator()(tamis_plan* plan) const { tamis_plan_destroy(plan); }
};
struct ContextDeleter {
  void operator()(tamis_context* context) const { tamis_context_destroy(context); }
};
using OwnedPlan = std::unique_ptr<tamis_plan, PlanDeleter>;
using OwnedContext = std::unique_ptr<tamis_context, ContextDeleter>;

OwnedContext ContextFor(const Manner& manner) {
  tamis_context* context = nullptr;
  (void)tamis_context_create(&context);
  (void)tamis_context_set_threads(context, manner.threads);
  (void)tamis_context_set_level(context, static_cast<int32_t>(manner.level));
  (void)tamis_context_set_implementation(context, static_cast<int32_t>(manner.implementation));
  return OwnedContext(context);
}

// INT64_MAX where the product leaves int64.
int64_t BytesOf(tamis_dtype dtype, int32_t rank, const int64_t* shape) {
  int64_t bytes = base::ItemSize(static_cast<DType>(dtype));
  if (std::find(shape, shape + rank, 0) != shape + rank) return 0;
  for (int32_t i = 0; i < rank; ++i) {
    if (!base::CheckedMul(bytes, shape[i], &bytes)) return INT64_MAX;
  }
  return bytes;
}

Status SetAttribute(const tamis_named_attribute& a, registry::Call* call) {
  switch (a.type) {
    case TAMIS_ATTRIBUTE_INT: return call->SetInt(a.name, a.value.as_int);
    case TAMIS_ATTRIBUTE_FLOAT: return call->SetFloat(a.name, a.value.as_float);
    case TAMIS_ATTRIBUTE_BOOL: return call->SetBool(a.name, a.value.as_int != 0);
    case TAMIS_ATTRIBUTE_STRING: return call->SetChoice(a.name, a.value.as_string);
    default: return capi::SetInts(call, a.name, a.value.as_ints);
  }
}

// What a refusal must be: a line that begins with an argument. Memory that the machine does not
// have is nobody's argument.
std::string Complaint(const base::Contract& contract, tamis_status status,
                      const std::string& line) {
  const std::string what = std::string(tamis_status_name(status)) + ": \"" + line + "\"";
  if (line.find('\n') != std::string::npos) return "more than a line: " + what;
  if (status == TAMIS_NO_MEMORY && line.rfind("host memory: ", 0) == 0) return {};
  if (status != TAMIS_NULL_ARGUMENT && status != TAMIS_INVALID_ARGUMENT &&
      status != TAMIS_UNSUPPORTED)
    return "refused for a reason that is no argument's: " + what;
  const std::string argument = ArgumentOf(line);
  if (contract.Find(argument) == nullptr && argument != "workspace")
    return "refused without naming an argument: " + what;
  if (line.find("expected") == std::string::npos && line.find("required") == std::string::npos &&
      line.find("supported here") == std::string::npos)
    return "refused without what was expected: " + what;
  return {};
}

// The reference keeps a score for every block of raw tokens up to the last one: too many to try.
bool ManyBlocks(const CCall& call) {
  return std::any_of(call.attributes.begin(), call.attributes.end(), [](const auto& a) {
    return a.type == TAMIS_ATTRIBUTE_INT && a.value.as_int > kMostBlockTokens &&
           std::string_view(a.name) == "compress_block_size";
  });
}

void Compare(const CCall& call, Verdict* verdict) {
  if (ManyBlocks(call)) {
    verdict->outcome = Verdict::Outcome::kTooLarge;
    return;
  }
  const Result<registry::Call> cpp = call.Cpp();
  if (!cpp.ok()) {
    verdict->failure = "accepted by name only: " + cpp.status().message();
    return;
  }
  const Status status = AgainstTheReference(cpp->op(), cpp->params());
  if (status.code() == StatusCode::kNoMemory) {
    verdict->outcome = Verdict::Outcome::kTooLarge;
  } else if (!status.ok()) {
    verdict->failure = status.message();
  }
}

// The fused operator's reference admits a share of outliers, which a small call cannot hold; it is
// bit for bit the four operators that it is made of instead.
const sparse_attention_pto::Params* FusedParams(const Result<registry::Call>& call) {
  if (!call.ok() || call->contract().name != "sparse_attention_pto") return nullptr;
  return static_cast<const sparse_attention_pto::Params*>(call->params());
}

std::string CompareFused(const sparse_attention_pto::Params& p, const Composed& composed) {
  if (!composed.status.ok()) return "ran, but not in parts: " + composed.status.message();
  const std::pair<const char*, bool> same[] = {
      {"kv_cache", SameElements(p.kv_cache, composed.kv.view)},
      {"kr_cache", SameElements(p.kr_cache, composed.kr.view)},
      {"index_k_cache", SameElements(p.index_k_cache, composed.index_k.view)},
      {"sparse_indices",
       p.sparse_indices.absent() || SameElements(p.sparse_indices, composed.indices.view)},
      {"out", SameElements(p.out, composed.out.view)}};
  for (const auto& [name, equal] : same) {
    if (!equal) return std::string(name) + " differs from that of the four operators";
  }
  return {};
}

// On a workspace of exactly the stated size, so that the sanitizers see a step beyond it.
bool LacksMemory(const CCall& call) {
  return std::any_of(call.tensors.begin(), call.tensors.end(), [](const tamis_named_tensor& named) {
    const tamis_tensor& t = named.tensor;
    return t.dtype != TAMIS_DTYPE_NONE && t.data == nullptr &&
           std::find(t.shape, t.shape + t.rank, 0) == t.shape + t.rank;
  });
}

tamis_status Run(const tamis_plan* plan) {
  const auto bytes = static_cast<size_t>(tamis_plan_workspace_bytes(plan));
  std::vector<unsigned char> workspace(bytes + 63, 0xCD);
  const auto begin = (reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): aligned by hand
  return tamis_plan_run(plan, reinterpret_cast<void*>(begin), static_cast<int64_t>(bytes), nullptr);
}

}  // namespace

std::string ArgumentOf(const std::string& line) { return line.substr(0, line.find_first_of(":[")); }

CCall::CCall(TestCall* call) : source_(call) {
  Result<registry::Call> laid = call->WithOutputs();
  op_ = &laid->op();
  for (const base::Field& field : contract().fields) {
    if (!field.is_tensor()) continue;
    const TensorView& view = base::Contract::tensor(laid->params(), field);
    tamis_named_tensor tensor = {field.name.c_str(), {}};
    std::memcpy(&tensor.tensor, &view, sizeof(view));
    if (!view.absent()) tensors.push_back(tensor);
  }
  for (const auto& [name, value] : call->attributes()) {
    tamis_named_attribute a = {};
    a.name = contract().Find(name)->name.c_str();
    if (const auto* i = std::get_if<int64_t>(&value)) {
      a.type = TAMIS_ATTRIBUTE_INT;
      a.value.as_int = *i;
    } else if (const auto* d = std::get_if<double>(&value)) {
      a.type = TAMIS_ATTRIBUTE_FLOAT;
      a.value.as_float = *d;
    } else if (const auto* b = std::get_if<bool>(&value)) {
      a.type = TAMIS_ATTRIBUTE_BOOL;
      a.value.as_int = *b ? 1 : 0;
    } else if (const auto* s = std::get_if<std::string>(&value)) {
      a.type = TAMIS_ATTRIBUTE_STRING;
      a.value.as_string = Text(*s);
    } else {
      a.type = TAMIS_ATTRIBUTE_INTS;
      a.value.as_ints = List(std::get<std::vector<int64_t>>(value));
    }
    attributes.push_back(a);
  }
}

tamis_named_tensor* CCall::Tensor(const std::string& name) {
  for (tamis_named_tensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

tamis_named_attribute* CCall::AttributeOf(const std::string& name) {
  for (tamis_named_attribute& attribute : attributes) {
    if (attribute.name == name) return &attribute;
  }
  return nullptr;
}

void CCall::Drop(const std::string& name) {
  std::erase_if(tensors, [&](const tamis_named_tensor& t) { return t.name == name; });
  std::erase_if(attributes, [&](const tamis_named_attribute& a) { return a.name == name; });
}

void* CCall::Memory(size_t bytes, unsigned char fill) {
  return memory_.emplace_back(std::max<size_t>(bytes, 1), fill).data();
}

tamis_int_list CCall::List(std::vector<int64_t> values) {
  static const int64_t kNone = 0;  // an empty list is not an absent one
  const std::vector<int64_t>& list = lists_.emplace_back(std::move(values));
  return {list.empty() ? &kNone : list.data(), static_cast<int64_t>(list.size())};
}

const char* CCall::Text(std::string text) { return texts_.emplace_back(std::move(text)).c_str(); }

tamis_status CCall::Plan(const tamis_context* context, tamis_plan** plan) const {
  return tamis_plan_by_name(context, contract().name.c_str(), tensors.data(),
                            static_cast<int64_t>(tensors.size()), attributes.data(),
                            static_cast<int64_t>(attributes.size()), plan);
}

void* CCall::Nowhere() {
  nowhere_ += uintptr_t{1} << 57;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a place where no memory is
  return reinterpret_cast<void*>(nowhere_);
}

tamis_status CCall::LayOutputs(Place place) {
  tamis_output outputs[8];
  int64_t count = 0;
  const tamis_status status = tamis_outputs_by_name(
      contract().name.c_str(), tensors.data(), static_cast<int64_t>(tensors.size()),
      attributes.data(), static_cast<int64_t>(attributes.size()), outputs, 8, &count);
  if (status != TAMIS_OK) return status;
  std::erase_if(tensors, [&](const tamis_named_tensor& t) {
    const base::Field* field = contract().Find(t.name);
    return field != nullptr && field->is_output() && !field->is_updated();
  });
  for (int64_t i = 0; i < count; ++i) {
    const tamis_output& o = outputs[i];
    const int64_t bytes = BytesOf(o.dtype, o.rank, o.shape);
    void* const data = place == Place::kNowhere   ? Nowhere()
                       : bytes > kMostOutputBytes ? nullptr
                                                  : Memory(static_cast<size_t>(bytes), kUntouched);
    tensors.push_back({o.name, tamis_dense_tensor(data, o.dtype, o.rank, o.shape)});
  }
  return status;
}

Result<registry::Call> CCall::Cpp() const {
  Result<registry::Call> call = registry::Call::Of(contract().name);
  for (const tamis_named_tensor& t : tensors)
    TAMIS_RETURN_IF_ERROR(call->SetTensor(t.name, capi::ViewOf(t.tensor)));
  for (const tamis_named_attribute& a : attributes) TAMIS_RETURN_IF_ERROR(SetAttribute(a, &*call));
  return call;
}

Verdict Judge(CCall* call, const Manner& manner) {
  const OwnedContext context = ContextFor(manner);
  Verdict verdict;
  tamis_plan* made = nullptr;
  tamis_status status = call->Plan(context.get(), &made);
  if (status != TAMIS_OK) {
    verdict.line = tamis_last_error();
    verdict.failure = Complaint(call->contract(), status, verdict.line);
    if (made != nullptr) verdict.failure = "refused with a plan: " + verdict.line;
    if (!call->source().OutputsUntouched())
      verdict.failure = "written though refused: " + verdict.line;
    return verdict;
  }
  const OwnedPlan plan(made);
  if (manner.host_bytes > 0) {
    verdict.outcome = Verdict::Outcome::kTooLarge;
    const int64_t bytes = tamis_plan_workspace_bytes(made);
    if (bytes < 0) verdict.failure = "planned with a workspace of " + std::to_string(bytes);
    if (bytes <= manner.host_bytes) return verdict;
    status = tamis_plan_run(made, nullptr, 0, nullptr);
    verdict.line = tamis_last_error();
    if (status != TAMIS_NO_MEMORY || ArgumentOf(verdict.line) != "workspace" ||
        verdict.line.find('\n') != std::string::npos)
      verdict.failure = "ran without memory: " + verdict.line;
    return verdict;
  }
  const bool reference = manner.implementation == Implementation::kReference;
  if (tamis_plan_workspace_bytes(made) > kMostWorkspaceBytes || (reference && ManyBlocks(*call))) {
    verdict.outcome = Verdict::Outcome::kTooLarge;
    return verdict;
  }
  if (LacksMemory(*call)) {  // which is the run's to miss
    status = Run(made);
    verdict.line = tamis_last_error();
    verdict.failure = Complaint(call->contract(), status, verdict.line);
    if (!call->source().OutputsUntouched())
      verdict.failure = "written though refused: " + verdict.line;
    return verdict;
  }
  verdict.outcome = Verdict::Outcome::kAgreed;
  if (!call->source().OutputsUntouched()) verdict.failure = "written while planning";
  const Result<registry::Call> cpp = call->Cpp();
  const sparse_attention_pto::Params* const fused = FusedParams(cpp);
  std::optional<Composed> composed;
  if (fused != nullptr) {
    composed.emplace(*fused,
                     Context{.threads = manner.threads,
                             .level = manner.level,
                             .implementation = manner.implementation},
                     Composed::Judged::kByTheReference);
  }
  status = Run(made);
  if (status != TAMIS_OK)
    verdict.failure = "planned, but did not run: " + std::string(tamis_last_error());
  else if (fused != nullptr)
    verdict.failure = CompareFused(*fused, *composed);
  else if (verdict.failure.empty())
    Compare(*call, &verdict);
  return verdict;
}

}  // namespace tamis::test
