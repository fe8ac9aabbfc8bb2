#include "tamis/plan.hpp"

#include <new>
#include <stdexcept>

#include "base/errors.h"
#include "base/plan_body.h"
#include "base/workspace.h"
#include "tamis/tamis.hpp"

namespace tamis {
namespace {

Status RunBody(const internal::PlanBody& body, const Bindings* bindings, void* workspace,
               int64_t workspace_size_bytes, void* stream) try {
  if (stream != nullptr) return base::Invalid("stream", "null for a plan on the CPU", "a stream");
  if (workspace == nullptr && body.workspace_bytes > 0) {
    const base::Workspace own(body.workspace_bytes);
    if (own.data() == nullptr) {
      return {StatusCode::kNoMemory,
              "workspace: cannot allocate " + std::to_string(body.workspace_bytes) + " bytes"};
    }
    return body.Run(bindings, own.data());
  }
  if (workspace != nullptr) {
    if (workspace_size_bytes < body.workspace_bytes) {
      return base::Invalid("workspace",
                           "at least " + std::to_string(body.workspace_bytes) + " bytes",
                           workspace_size_bytes);
    }
    if (reinterpret_cast<uintptr_t>(workspace) % 64 != 0) {
      return base::Invalid("workspace", "memory aligned to 64 bytes", "a misaligned pointer");
    }
  }
  return body.Run(bindings, workspace);
} catch (const std::bad_alloc&) {  // the reference keeps rows of its own
  return {StatusCode::kNoMemory, "host memory: an allocation failed while running"};
}

}  // namespace

const char* version() { return TAMIS_VERSION; }

Plan::Plan(std::shared_ptr<internal::PlanBody> body) : body_(std::move(body)) {}
Plan::~Plan() = default;
Plan::Plan(const Plan&) = default;
Plan::Plan(Plan&&) noexcept = default;
Plan& Plan::operator=(const Plan&) = default;
Plan& Plan::operator=(Plan&&) noexcept = default;

int64_t Plan::workspace_bytes() const { return body_->workspace_bytes; }
TensorView Plan::tensor(std::string_view name) const {
  const TensorView* found = body_->Find(name);
  return found == nullptr ? TensorView{} : *found;
}
Implementation Plan::implementation() const { return body_->implementation; }
Level Plan::level() const { return body_->level; }
std::string Plan::explanation() const { return body_->Explain(); }
Cost Plan::cost() const { return body_->CountCost(); }

Status Plan::run(void* workspace, int64_t workspace_size_bytes, void* stream) const {
  return RunBody(*body_, nullptr, workspace, workspace_size_bytes, stream);
}

Status Plan::run(const Bindings& bindings, void* workspace, int64_t workspace_size_bytes,
                 void* stream) const {
  return RunBody(*body_, &bindings, workspace, workspace_size_bytes, stream);
}

Status Plan::renew(const Bindings& integers, bool* changed) try {
  bool ignored = false;
  return body_->Renew(integers, changed == nullptr ? &ignored : changed);
} catch (const std::bad_alloc&) {
  return {StatusCode::kNoMemory, "host memory: an allocation failed while renewing"};
} catch (const std::length_error&) {  // a vector longer than any memory
  return {StatusCode::kNoMemory, "host memory: a list longer than memory while renewing"};
}

}  // namespace tamis
