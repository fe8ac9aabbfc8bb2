// TensorView: a borrowed, strided view of somebody's memory.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

namespace tamis {

/// Element types. kNone marks an absent tensor.
enum class DType : int32_t {
  kNone = 0,
  kFloat16 = 1,
  kBFloat16 = 2,
  kFloat32 = 3,
  kFloat64 = 4,
  kInt8 = 5,
  kUInt8 = 6,
  kInt32 = 7,
  kInt64 = 8,
  kBool = 9,
};

enum class DeviceType : int32_t { kCpu = 0, kCuda = 1 };

inline constexpr int kMaxRank = 8;

/// A view: data, dtype, rank, shape and strides (both in elements), device. Owns nothing.
///
/// A default-constructed view is *absent*: an optional input that is not given, or an optional
/// output that is not wanted. The layout equals `tamis_tensor` of the C interface.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kNone;
  int32_t rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};
  DeviceType device = DeviceType::kCpu;
  int32_t device_index = 0;

  TensorView() = default;

  /// A dense row-major view. More than kMaxRank dimensions give a view of rank -1, which every plan
  /// refuses.
  TensorView(const void* dense_data, DType element_type, std::span<const int64_t> dims)
      : data(const_cast<void*>(dense_data)), dtype(element_type) {
    if (dims.size() > static_cast<size_t>(kMaxRank)) {
      rank = -1;
      return;
    }
    rank = static_cast<int32_t>(dims.size());
    uint64_t stride = 1;  // unsigned: a hostile shape wraps here and is refused by the plan
    for (int i = rank - 1; i >= 0; --i) {
      shape[i] = dims[i];
      strides[i] = static_cast<int64_t>(stride);
      stride *= static_cast<uint64_t>(dims[i] > 0 ? dims[i] : 1);
    }
  }
  TensorView(const void* dense_data, DType element_type, std::initializer_list<int64_t> dims)
      : TensorView(dense_data, element_type, std::span<const int64_t>(dims.begin(), dims.size())) {}

  bool absent() const { return dtype == DType::kNone; }
};

/// A borrowed list of integers, as the documents' `list[int]`. Absent when `data` is null.
struct IntList {
  const int64_t* data = nullptr;
  int64_t size = 0;

  IntList() = default;
  IntList(const int64_t* first, int64_t count) : data(first), size(count) {}
  /// Any contiguous container of int64_t that outlives the call to plan().
  template <class Container>
  requires requires(const Container& c) { static_cast<const int64_t*>(c.data()); }
  IntList(const Container& c)  // NOLINT(google-explicit-constructor)
      : data(c.data()), size(static_cast<int64_t>(c.size())) {
    static constexpr int64_t kEmpty = 0;
    if (data == nullptr) data = &kEmpty;  // an empty vector is an empty list, not an absent one
  }

  bool absent() const { return data == nullptr; }
};

}  // namespace tamis
