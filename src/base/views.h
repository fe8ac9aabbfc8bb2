// What a view says by itself: where it lies in memory, and whether anything may be read there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::base {

/// Bytes from the first to one past the last that a view touches. False where that overflows.
bool Extent(const TensorView& view, int64_t* bytes);

/// Every element has an address of its own, as outputs must: sorted by stride, each dimension steps
/// over the ones inside.
bool HasDistinctElements(const TensorView& view);

/// Where a view that passed CheckView lies.
struct Memory {
  Memory() = default;
  explicit Memory(const TensorView& view);

  bool Holds(uintptr_t address) const { return address - begin < bytes; }
  /// Holds the first or last byte of `other`, and has no gap in which it might lie.
  bool Covers(const Memory& other) const {
    return without_gaps && (Holds(other.begin) || Holds(other.begin + other.bytes - 1));
  }

  uintptr_t begin = 0;
  uintptr_t bytes = 0;
  bool without_gaps = false;
};

/// Whether an element is certainly shared. Strided views may interleave without sharing one: for
/// those the caller's word is taken.
bool Overlap(const Memory& a, const Memory& b);

bool SameShape(const TensorView& a, const TensorView& b);

/// "[65536, 64, 192]"
std::string ShapeText(const std::vector<int64_t>& shape);
std::string ShapeText(const TensorView& view);
std::string StridesText(const TensorView& view);

/// That each dimension steps over exactly the ones inside: what strict asks.
Status CheckContiguous(std::string_view name, const TensorView& view);

/// What any tensor must be before its dimensions mean something.
Status CheckView(std::string_view name, const TensorView& view, bool needs_memory);

}  // namespace tamis::base
