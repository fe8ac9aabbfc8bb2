// TensorView, OutputView: borrowed, strided views of somebody's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "tamis/dtype.hpp"
#include "tamis/int_list.hpp"   // IWYU pragma: export
#include "tamis/not_given.hpp"  // IWYU pragma: export

namespace tamis {

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

  /// The same of elements whose C++ type says the dtype: float16, bfloat16, float, int32_t, ...
  template <Element T>
  TensorView(const T* dense_data, std::span<const int64_t> dims)
      : TensorView(dense_data, kDTypeOf<T>, dims) {}
  template <Element T>
  TensorView(const T* dense_data, std::initializer_list<int64_t> dims)
      : TensorView(dense_data, kDTypeOf<T>, dims) {}

  bool absent() const { return dtype == DType::kNone; }
};

/// A view of memory that a run writes: of outputs, and of caches that are updated in place. Made of
/// pointers to memory that is not const; a TensorView becomes one explicitly only.
struct OutputView : TensorView {
  OutputView() = default;

  OutputView(void* dense_data, DType element_type, std::span<const int64_t> dims)
      : TensorView(dense_data, element_type, dims) {}
  OutputView(void* dense_data, DType element_type, std::initializer_list<int64_t> dims)
      : TensorView(dense_data, element_type, dims) {}
  template <Element T>
  OutputView(T* dense_data, std::span<const int64_t> dims) : TensorView(dense_data, dims) {}
  template <Element T>
  OutputView(T* dense_data, std::initializer_list<int64_t> dims) : TensorView(dense_data, dims) {}

  /// Takes the caller's word that the memory may be written.
  explicit OutputView(const TensorView& view) : TensorView(view) {}

  /// An output whose dtype and shape the plan finds (see Plan::tensor), dense, and whose memory a
  /// run brings; absent where the call does not give it.
  static OutputView Inferred() {
    OutputView view;
    view.rank = -1;
    return view;
  }
  bool inferred() const { return absent() && rank == -1; }
};
static_assert(sizeof(OutputView) == sizeof(TensorView) && std::is_standard_layout_v<OutputView>);

}  // namespace tamis
