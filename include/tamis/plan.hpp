// Plan: a call that passed every check and knows its implementation and workspace.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tamis/context.hpp"
#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis {

/// What a run must at least do, for roofline figures.
struct Cost {
  double flops = 0;  ///< Multiplications and additions that the maths needs (visible keys only).
  double read_bytes = 0;   ///< Each input element once.
  double write_bytes = 0;  ///< Each output element once.
};

namespace internal {
class PlanBody;
}

/// A params struct: it names its operator.
template <class Params>
concept ParamsOfAnOperator = requires {
  { Params::kOperator } -> std::convertible_to<const char*>;
};

/// The tensors of one run: params of the plan's operator, of which a run looks at no attribute, no
/// list, and no tensor that the plan has read. Borrowed; made where it is passed.
class Bindings {
 public:
  template <ParamsOfAnOperator Params>
  Bindings(const Params& params)  // NOLINT(google-explicit-constructor): params are bindings
      : params_(&params), operator_name_(Params::kOperator), size_(sizeof(Params)) {}

  /// For bindings to other languages: a params struct of that operator and size.
  Bindings(const void* params, const char* operator_name, size_t size)
      : params_(params), operator_name_(operator_name), size_(size) {}

  const void* params() const { return params_; }
  const char* operator_name() const { return operator_name_; }
  size_t size() const { return size_; }

 private:
  const void* params_;
  const char* operator_name_;
  size_t size_;
};

/// Made by `tamis::<operator>::plan` from shapes, dtypes, attributes, lengths, page tables and
/// cache slots. What those can have wrong has failed there, before anything was written. It keeps
/// what it needs of lengths, page tables and slots; of all other tensors it knows the shape, and
/// their data may be null in its params. A run changes nothing in a plan: several threads may run
/// one at once, each with bindings and a workspace of its own. A copy is the same plan.
class TAMIS_API Plan {
 public:
  explicit Plan(std::shared_ptr<internal::PlanBody> body);
  ~Plan();
  Plan(const Plan&);
  Plan(Plan&&) noexcept;
  Plan& operator=(const Plan&);
  Plan& operator=(Plan&&) noexcept;

  /// Bytes of scratch that run() needs; the formula stands in the operator's README.
  int64_t workspace_bytes() const;

  /// Runs on the tensors that the plan was made with; runs at once would write the same outputs.
  /// Works in `workspace` (64-byte aligned, at least workspace_bytes()). Null: memory of the
  /// library, of which the calling thread keeps up to 32 MiB for its next such run, until it ends.
  /// `stream` is the device stream; CPU plans take null and return when the work is done.
  Status run(void* workspace = nullptr, int64_t workspace_size_bytes = 0,
             void* stream = nullptr) const;

  /// Runs on the tensors of `bindings`. Each has the dtype and shape that the plan was made with,
  /// or is absent where it was; addresses and strides are free. Checks those, and that no output
  /// shares memory with another tensor; an error names the tensor, and nothing is written then.
  /// Allocates nothing.
  Status run(const Bindings& bindings, void* workspace = nullptr, int64_t workspace_size_bytes = 0,
             void* stream = nullptr) const;

  /// Gives the plan new integers: lengths, page tables and cache slots, of params as at planning,
  /// of which nothing else is looked at. There are as many as before, in tensors of the same dtypes
  /// and shapes; only their values differ, and as far as those need no longer lists than ever
  /// before, nothing is allocated. Checks what planning checks. A plan whose renewal failed after
  /// its shapes were found right refuses to run until one succeeds. workspace_bytes() may change.
  /// Where nothing that the plan needs differs, it is left as it is, and `changed` set to false.
  ///
  /// One owner renews: no run may be in flight, and no other thread may use the plan or a copy of
  /// it meanwhile. Runs that begin after it see it only if the threads synchronise.
  Status renew(const Bindings& integers, bool* changed = nullptr);

  /// The tensor of that name as the plan was made with it: absent where it has none. Of an output
  /// that it has inferred, the dtype and shape that a run must bring.
  TensorView tensor(std::string_view name) const;

  Implementation implementation() const;
  Level level() const;
  /// One line: which implementation runs, with what blocking, and why; and which others there are.
  std::string explanation() const;
  /// Counts the work; with an attention mask this reads the mask.
  Cost cost() const;

 private:
  std::shared_ptr<internal::PlanBody> body_;
};

}  // namespace tamis
