#include "tests/support/gradients.h"

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "registry/registry.h"
#include "tests/support/sequences.h"

namespace tamis::test {
namespace {

bool OfKeys(const std::string& name) {
  return name.find("key") != std::string::npos || name.find("kv") != std::string::npos;
}

// First row of sequence b.
int64_t Before(const std::vector<int64_t>& lengths, size_t b) {
  return b == 0 ? 0 : Prefix(lengths)[b - 1];
}

TestCall SequenceOf(const TestCall& packed, const std::string& op, const std::vector<int64_t>& q,
                    const std::vector<int64_t>& n, size_t b) {
  TestCall alone(op);
  for (const auto& [name, value] : packed.attributes()) alone.Set(name, value);
  for (const auto& [name, view] : packed.tensors()) {
    const std::vector<int64_t>& lengths = OfKeys(name) ? n : q;
    if (name.rfind("actual_seq_lengths", 0) == 0) {
      alone.List(name, DType::kInt32, {lengths[b]});
      continue;
    }
    TensorView part = view;
    part.data = static_cast<char*>(view.data) +
                Before(lengths, b) * view.strides[0] * base::ItemSize(view.dtype);
    part.shape[0] = lengths[b];
    alone.View(name, part);
  }
  return alone;
}

}  // namespace

TestCall GradientOf(const std::string& op, TestCall& forward, uint64_t seed, int64_t gap) {
  const base::Contract& contract = *registry::Find(op)->contract;
  const base::Contract& of = *registry::Find(contract.gradient_of)->contract;
  EXPECT_TRUE(forward.Run({.threads = 1, .level = Level::kScalar}).ok());
  Random random(seed);
  TestCall call(op);
  for (const base::Field& field : contract.fields) {
    if (field.is_output()) continue;
    if (!field.is_tensor()) {
      for (const auto& [name, value] : forward.attributes())
        if (name == field.name) call.Set(name, value);
      continue;
    }
    const std::string& name = field.gradient_of.empty() ? field.name : field.gradient_of;
    const base::Field* source = of.Find(name);
    if (source == nullptr) {
      ADD_FAILURE() << op << ": " << field.name << " is no argument of its forward";
    } else if (source->is_output()) {
      const TensorView& view = forward.memory(name).view;
      const std::vector<int64_t> shape(view.shape, view.shape + view.rank);
      if (field.gradient_of.empty()) {
        call.Tensor(field.name, view.dtype, shape, [&](int64_t i) { return forward.Got(name, i); });
      } else {
        call.Strided(field.name, view.dtype, shape, gap, [&](int64_t) { return random.Normal(); });
      }
    } else {
      for (const auto& [given, view] : forward.tensors())
        if (given == name) call.View(field.name, view);
    }
  }
  return call;
}

void ExpectSequencesAlone(const TestCall& packed, const std::string& op,
                          const std::vector<int64_t>& q, const std::vector<int64_t>& n, Level level,
                          const std::vector<std::string>& outputs) {
  for (size_t b = 0; b < q.size(); ++b) {
    TestCall alone = SequenceOf(packed, op, q, n, b);
    ASSERT_TRUE(alone.Run({.threads = 3, .level = level}).ok());
    for (const std::string& name : outputs) {
      const std::vector<int64_t>& lengths = OfKeys(name) ? n : q;
      const int64_t count = alone.OutputElems(name);
      const int64_t begin = Before(lengths, b) * (count / lengths[b]);
      int64_t differ = 0;
      for (int64_t i = 0; i < count; ++i)
        differ += alone.Got(name, i) != packed.Got(name, begin + i) ? 1 : 0;
      EXPECT_EQ(differ, 0) << name << " of sequence " << b;
      EXPECT_GT(count, 0) << name;
    }
  }
}

}  // namespace tamis::test
