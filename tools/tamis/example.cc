#include "tools/tamis/example.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "parallel/parallel.h"
#include "registry/json.h"

namespace tamis::tools {
namespace {

constexpr int64_t kItemElems = 1 << 20;

// SplitMix64: a good 64-bit hash of a counter, so that any part of a tensor can be filled alone.
uint64_t Random(uint64_t seed, uint64_t counter) {
  uint64_t z = seed + (counter + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint64_t SeedOf(uint64_t seed, const std::string& name) {
  uint64_t hash = Random(seed, 0);
  for (char c : name) hash = Random(hash, static_cast<unsigned char>(c));
  return hash;
}

constexpr int kQuantiles = 1 << 16;

// The middle quantiles of 65536 equally likely parts of the standard normal. One random number
// gives four draws, exact to the resolution of 16 bits and some ten times as fast as
// Box-Muller.
std::vector<double> NormalQuantiles() {
  std::vector<double> quantiles(kQuantiles);
  double x = 0;
  for (int i = kQuantiles / 2; i < kQuantiles; ++i) {
    const double p = (i + 0.5) / kQuantiles;
    for (int step = 0; step < 4; ++step) {  // Newton, from the quantile before
      const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
      x += (p - 0.5 * std::erfc(-x / std::sqrt(2.0))) / density;
    }
    quantiles[static_cast<size_t>(i)] = x;
    quantiles[static_cast<size_t>(kQuantiles - 1 - i)] = -x;
  }
  return quantiles;
}

template <class T>
void FillFromTable(const std::vector<double>& quantiles, uint64_t seed, int32_t threads,
                   StoredTensor* tensor) {
  std::vector<T> table(kQuantiles);
  for (int i = 0; i < kQuantiles; ++i)
    base::StoreDouble(table.data(), tensor->dtype, i, quantiles[static_cast<size_t>(i)]);
  T* data = static_cast<T*>(tensor->data);
  const int64_t elems = tensor->bytes / static_cast<int64_t>(sizeof(T));
  parallel::ForEach({}, threads, base::CeilDiv(elems, kItemElems), [&](int64_t item, int32_t) {
    const int64_t end = std::min(elems, (item + 1) * kItemElems);
    for (int64_t i = item * kItemElems; i < end; i += 4) {
      uint64_t bits = Random(seed, static_cast<uint64_t>(i / 4));
      for (int64_t j = i; j < std::min(i + 4, end); ++j, bits >>= 16)
        data[j] = table[bits & 0xffff];
    }
  });
}

Status FillNormal(uint64_t seed, double deviation, int32_t threads, StoredTensor* tensor) {
  std::vector<double> quantiles = NormalQuantiles();
  for (double& quantile : quantiles) quantile *= deviation;
  switch (base::ItemSize(tensor->dtype)) {
    case 2: FillFromTable<uint16_t>(quantiles, seed, threads, tensor); return Status::Ok();
    case 4: FillFromTable<float>(quantiles, seed, threads, tensor); return Status::Ok();
    case 8: FillFromTable<double>(quantiles, seed, threads, tensor); return Status::Ok();
    default: return base::Invalid(tensor->name, "a floating dtype", base::Name(tensor->dtype));
  }
}

void FillWindowWeight(uint64_t seed, StoredTensor* tensor) {
  const int64_t elems = tensor->bytes / base::ItemSize(tensor->dtype);
  const auto window = static_cast<double>(std::max<int64_t>(tensor->shape.front(), 1));
  for (int64_t i = 0; i < elems; ++i) {
    const double uniform =
        static_cast<double>(Random(seed, static_cast<uint64_t>(i)) >> 11) * 0x1p-53;
    base::StoreDouble(tensor->data, tensor->dtype, i, (0.5 + uniform) / window);
  }
}

// Rows of a mask: set(row, column) says which are 1.
template <class Set>
Status FillMask(int32_t threads, StoredTensor* tensor, Set&& set) {
  if (tensor->shape.size() != 2 || base::ItemSize(tensor->dtype) != 1)
    return base::Invalid(tensor->name, "a matrix of bool or uint8", base::ShapeText(tensor->shape));
  const int64_t columns = tensor->shape[1];
  auto* data = static_cast<uint8_t*>(tensor->data);
  parallel::ForEach({}, threads, tensor->shape[0], [&](int64_t row, int32_t) {
    for (int64_t column = 0; column < columns; ++column)
      data[row * columns + column] = set(row, column) ? 1 : 0;
  });
  return Status::Ok();
}

Status FillPageTable(uint64_t seed, StoredTensor* tensor) {
  const int64_t elems = tensor->bytes / base::ItemSize(tensor->dtype);
  std::vector<int64_t> pages(static_cast<size_t>(elems));
  std::iota(pages.begin(), pages.end(), 0);
  for (size_t i = pages.size(); i > 1; --i) std::swap(pages[i - 1], pages[Random(seed, i) % i]);
  for (int64_t i = 0; i < elems; ++i) {
    base::StoreDouble(tensor->data, tensor->dtype, i,
                      static_cast<double>(pages[static_cast<size_t>(i)]));
  }
  return Status::Ok();
}

// Every row (last dimension) the beginning of a permutation of its own.
Status FillDistinctIds(const std::vector<int64_t>& values, uint64_t seed, StoredTensor* tensor) {
  const int64_t count = tensor->shape.back();
  if (values.size() != 1 || values[0] < count)
    return base::Invalid(tensor->name, "a number of ids of at least a row", count);
  std::vector<int64_t> ids(static_cast<size_t>(values[0]));
  std::iota(ids.begin(), ids.end(), 0);
  const int64_t elems = tensor->bytes / base::ItemSize(tensor->dtype);
  for (int64_t i = 0; i < elems; ++i) {
    const auto at = static_cast<size_t>(i % count);
    std::swap(ids[at], ids[at + Random(seed, static_cast<uint64_t>(i)) % (ids.size() - at)]);
    base::StoreDouble(tensor->data, tensor->dtype, i, static_cast<double>(ids[at]));
  }
  return Status::Ok();
}

// An attribute that a fill is defined by.
Status AttributeOf(const registry::Call& call, const char* name, int64_t* value) {
  if (!call.contract().Evaluate(name, call.params(), {}, value) || *value <= 0)
    return base::Invalid(name, "a positive attribute of the example", "none");
  return Status::Ok();
}

Status FillValues(const std::vector<int64_t>& values, StoredTensor* tensor) {
  const int64_t elems = tensor->bytes / base::ItemSize(tensor->dtype);
  const auto count = static_cast<int64_t>(values.size());
  if (count == 0 || elems % count != 0)
    return base::Invalid(tensor->name, "a multiple of as many elements as values", elems);
  for (int64_t i = 0; i < elems; ++i) {
    base::StoreDouble(tensor->data, tensor->dtype, i,
                      static_cast<double>(values[static_cast<size_t>(i % count)]));
  }
  return Status::Ok();
}

Status FillTensor(const base::ExampleTensor& example, const registry::Call& call, uint64_t seed,
                  int32_t threads, StoredTensor* tensor) {
  switch (example.fill) {
    case base::Fill::kNormal: return FillNormal(seed, 1, threads, tensor);
    case base::Fill::kProjection: {
      const auto rows = static_cast<double>(tensor->shape[tensor->shape.size() - 2]);
      return FillNormal(seed, 1 / std::sqrt(rows), threads, tensor);
    }
    case base::Fill::kWindowWeight: FillWindowWeight(seed, tensor); return Status::Ok();
    case base::Fill::kCausalMask: {
      int64_t stride = 0;
      int64_t block = 0;
      TAMIS_RETURN_IF_ERROR(AttributeOf(call, "compress_stride", &stride));
      TAMIS_RETURN_IF_ERROR(AttributeOf(call, "compress_block_size", &block));
      return FillMask(threads, tensor,
                      [=](int64_t query, int64_t key) { return key * stride + block - 1 > query; });
    }
    case base::Fill::kLocalBlocks: {
      int64_t size = 0;
      TAMIS_RETURN_IF_ERROR(AttributeOf(call, "select_block_size", &size));
      return FillMask(threads, tensor, [=](int64_t query, int64_t block) {
        return block == 0 || block == query / size || block == query / size - 1;
      });
    }
    case base::Fill::kPageTable: return FillPageTable(seed, tensor);
    case base::Fill::kDistinctIds: return FillDistinctIds(example.values, seed, tensor);
    case base::Fill::kValues: return FillValues(example.values, tensor);
    case base::Fill::kZero:
      std::memset(tensor->data, 0, static_cast<size_t>(tensor->bytes));
      return Status::Ok();
  }
  return {StatusCode::kInternal, tensor->name + ": an unknown fill"};
}

DType DTypeOf(const base::Contract& contract, const base::Field& field, DType wanted) {
  if (!field.dtype_as.empty()) return DTypeOf(contract, *contract.Find(field.dtype_as), wanted);
  const bool admits =
      std::find(field.dtypes.begin(), field.dtypes.end(), wanted) != field.dtypes.end();
  return admits ? wanted : field.dtypes.front();
}

}  // namespace

Result<const base::Example*> FindExample(const base::Operator& op, const std::string& name) {
  std::string known;
  for (const base::Example& example : *op.examples) {
    if (example.name == name) return &example;
    known += (known.empty() ? "" : ", ") + example.name;
  }
  return base::Invalid("--shape", "list or one of " + known, name);
}

Result<DType> ExampleDType(const std::string& name) {
  const DType dtype = base::DTypeNamed(name);
  const bool fits =
      dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat32;
  if (!fits) return base::Invalid("--dtype", kExampleDTypes, name);
  return dtype;
}

Result<CaseData> MakeExample(const base::Operator& op, const base::Example& example, DType dtype,
                             uint64_t seed, int32_t threads) {
  CaseData data;
  data.op = op.contract->name;
  data.source = "tamis case new " + data.op + " --shape " + example.name + " --seed " +
                std::to_string(seed) + " --dtype " + std::string(base::Name(dtype));
  data.attrs = "{";
  for (const base::ExampleAttribute& attribute : example.attributes) {
    data.attrs += (data.attrs.size() > 1 ? ", " : "") + registry::JsonString(attribute.name) +
                  ": " + attribute.json;
  }
  data.attrs += "}";
  Result<registry::Call> call = registry::Call::Of(data.op);
  if (!call.ok()) return call.status();
  TAMIS_RETURN_IF_ERROR(SetAttributes(data.attrs, false, &*call));
  for (const base::ExampleTensor& wanted : example.tensors) {
    const base::Field* field = op.contract->Find(wanted.name);
    if (field == nullptr || !field->is_tensor())
      return Status(StatusCode::kInternal, wanted.name + ": no tensor of " + data.op);
    StoredTensor tensor;
    tensor.name = wanted.name;
    tensor.dtype = DTypeOf(*op.contract, *field, dtype);
    tensor.shape = wanted.shape;
    tensor.bytes = base::ItemSize(tensor.dtype);
    for (int64_t size : tensor.shape) {
      if (!base::CheckedMul(tensor.bytes, size, &tensor.bytes))
        return Status(StatusCode::kInternal, wanted.name + ": too large");
    }
    const Result<std::shared_ptr<void>> memory = AllocateBytes(tensor.name, tensor.bytes);
    if (!memory.ok()) return memory.status();
    tensor.data = memory->get();
    TAMIS_RETURN_IF_ERROR(FillTensor(wanted, *call, SeedOf(seed, wanted.name), threads, &tensor));
    data.memory.push_back(*memory);
    data.inputs.push_back(std::move(tensor));
  }
  return data;
}

}  // namespace tamis::tools
