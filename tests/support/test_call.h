// A call of an operator with memory of its own, for tests: tensors filled from a seed, attributes
// by name, outputs allocated afresh for every run.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "registry/call.h"

namespace tamis::test {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// FNV-1a.
uint64_t HashOf(const void* data, size_t size);

/// SplitMix64 with a normal distribution on top.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  /// Decisions (Below, Between, Shuffle) from these bytes as long as they last: a fuzzer's. The
  /// bytes outlive this.
  Random(const uint8_t* bytes, size_t size);
  uint64_t Next();
  /// In [0, bound).
  int64_t Below(int64_t bound) {
    const uint64_t number = size_ > 0 ? FromBytes(static_cast<uint64_t>(bound)) : Next();
    return static_cast<int64_t>(number % static_cast<uint64_t>(bound));
  }
  /// In [low, high].
  int64_t Between(int64_t low, int64_t high) { return low + Below(high - low + 1); }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  double Normal();
  template <class T>
  void Shuffle(std::vector<T>* values) {
    for (size_t i = values->size(); i > 1; --i)
      std::swap((*values)[i - 1], (*values)[static_cast<size_t>(Below(static_cast<int64_t>(i)))]);
  }

 private:
  uint64_t FromBytes(uint64_t bound);

  uint64_t state_;
  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;  // bytes left
};

/// A standard normal value that depends on a seed, a name and a place only, so that a call and a
/// part of it see the same ones.
double Draw(uint64_t seed, const char* name, int64_t place);

/// The elements of a tensor from a list, in row-major order.
template <class T>
std::function<double(int64_t)> Elements(std::vector<T> values) {
  return [values = std::move(values)](int64_t i) {
    return static_cast<double>(values[static_cast<size_t>(i)]);
  };
}
inline std::function<double(int64_t)> Elements(std::initializer_list<double> values) {
  return Elements(std::vector<double>(values));
}

/// Where element `index` of a tensor lies, in elements; `index` counts in row-major order.
int64_t OffsetOf(const TensorView& view, int64_t index);

using Outputs = std::map<std::string, std::vector<unsigned char>>;
using Attribute = std::variant<int64_t, double, bool, std::string, std::vector<int64_t>>;

class TestCall {
 public:
  explicit TestCall(std::string op) : op_(std::move(op)) {}

  /// A dense tensor; `value(i)` gives element i in row-major order.
  TestCall& Tensor(const std::string& name, DType dtype, std::vector<int64_t> shape,
                   const std::function<double(int64_t)>& value);
  /// The same elements with `gap` elements of NaN (or 0xFF bytes) after every row of every
  /// dimension but the last.
  TestCall& Strided(const std::string& name, DType dtype, std::vector<int64_t> shape, int64_t gap,
                    const std::function<double(int64_t)>& value);
  /// A tensor of one dimension.
  TestCall& List(const std::string& name, DType dtype, const std::vector<int64_t>& values) {
    return Tensor(name, dtype, {static_cast<int64_t>(values.size())}, Elements(values));
  }
  TestCall& View(const std::string& name, const TensorView& view);
  TestCall& Set(const std::string& name, Attribute value);
  TestCall& Without(const std::string& name);
  /// Outputs get gaps between rows, too.
  TestCall& OutputGap(int64_t gap) {
    output_gap_ = gap;
    return *this;
  }
  /// Optional outputs of these names are not asked for.
  TestCall& Omit(const std::string& output) {
    omitted_.push_back(output);
    return *this;
  }

  const TensorView& view(const std::string& name) const;
  /// The bytes of the inputs that the call has made itself.
  const std::deque<std::vector<unsigned char>>& input_bytes() const { return memory_; }
  const std::vector<std::pair<std::string, TensorView>>& tensors() const { return tensors_; }
  const std::vector<std::pair<std::string, Attribute>>& attributes() const { return attributes_; }

  /// The call with inputs and attributes, no outputs.
  Result<registry::Call> Inputs() const;
  /// The call with outputs, filled with 0xAB first, and with copies of the tensors that it updates
  /// in place. They live until the next call of this function.
  Result<registry::Call> WithOutputs();
  /// Plans, runs and returns the outputs' bytes (gaps included).
  Result<Outputs> Run(const Context& context);

  /// Element of an output of the last run, by its dense index.
  double Got(const std::string& output, int64_t index) const;
  std::vector<int64_t> GotInts(const std::string& output) const;
  int64_t OutputElems(const std::string& output) const;
  /// The bytes of an output of the last run, as they are and as they were before.
  struct Memory {
    TensorView view;
    std::vector<unsigned char> bytes;
    std::vector<unsigned char> before;
  };
  const Memory& memory(const std::string& output) const { return outputs_.at(output); }
  /// No byte of the outputs has changed since they were laid out.
  bool OutputsUntouched() const;

 private:
  Result<registry::Call> Build(
      const std::vector<std::pair<std::string, TensorView>>& tensors) const;
  TensorView Copy(const TensorView& view, Memory* copy) const;
  TensorView Store(DType dtype, const std::vector<int64_t>& shape, int64_t gap,
                   const std::function<double(int64_t)>& value);

  std::string op_;
  std::deque<std::vector<unsigned char>> memory_;
  std::vector<std::pair<std::string, TensorView>> tensors_;
  std::vector<std::pair<std::string, Attribute>> attributes_;
  std::vector<std::string> omitted_;
  int64_t output_gap_ = 0;
  std::map<std::string, Memory> outputs_;
};

}  // namespace tamis::test
