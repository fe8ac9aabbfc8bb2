#include "tests/support/gradients.h"

#include <gtest/gtest.h>

#include "registry/registry.h"

namespace tamis::test {

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

}  // namespace tamis::test
