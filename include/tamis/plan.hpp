// Plan: a call that passed every check and knows its implementation and workspace.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

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

/// Made by `tamis::<operator>::plan`. Everything that can fail on bad input has failed there,
/// before anything was written. A plan borrows the tensors' memory (not the integer lists, which it
/// copies) and may be run any number of times, by any thread, one run after the other: all write
/// the same outputs. Threads that run at once have plans of their own, which may share inputs and a
/// context. Tensors of lengths, page tables and cache slots are checked when the plan is made and
/// must stay as they are while it is used; all other tensors may change between runs.
class TAMIS_API Plan {
 public:
  explicit Plan(std::shared_ptr<const internal::PlanBody> body);
  ~Plan();
  Plan(const Plan&);
  Plan(Plan&&) noexcept;
  Plan& operator=(const Plan&);
  Plan& operator=(Plan&&) noexcept;

  /// Bytes of scratch that run() needs; the formula stands in the operator's README.
  int64_t workspace_bytes() const;

  /// Runs on `workspace` (64-byte aligned, at least workspace_bytes()). Null: memory of the
  /// library, of which the calling thread keeps up to 32 MiB for its next such run, until it ends.
  /// `stream` is the device stream; CPU plans take null and return when the work is done.
  Status run(void* workspace = nullptr, int64_t workspace_size_bytes = 0,
             void* stream = nullptr) const;

  Implementation implementation() const;
  Level level() const;
  /// One line: which implementation runs, with what blocking, and why.
  const std::string& explanation() const;
  /// Counts the work; with an attention mask this reads the mask.
  Cost cost() const;

 private:
  std::shared_ptr<const internal::PlanBody> body_;
};

}  // namespace tamis
