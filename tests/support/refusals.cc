#include "tests/support/refusals.h"

#include <utility>

#include "base/dtype.h"

namespace tamis::test {

Change Without(const std::string& name) {
  return [=](TestCall& call) { call.Without(name); };
}

Change Filled(const std::string& name, DType dtype, std::vector<int64_t> shape, double value) {
  return [=, shape = std::move(shape)](TestCall& call) {
    call.Tensor(name, dtype, shape, [=](int64_t) { return value; });
  };
}

Change Listed(const std::string& name, DType dtype, const std::vector<int64_t>& values) {
  return [=](TestCall& call) { call.List(name, dtype, values); };
}

Change Spread(const std::string& name) {
  return [=](TestCall& call) {
    const TensorView view = call.view(name);
    call.Strided(name, view.dtype, std::vector<int64_t>(view.shape, view.shape + view.rank), 1,
                 [=](int64_t i) { return base::LoadAsDouble(view.data, view.dtype, i); });
  };
}

void ExpectRefusedAfter(TestCall call, const Change& change, const std::string& argument,
                        StatusCode code) {
  SCOPED_TRACE(argument);
  const auto fine = call.Run({});
  ASSERT_TRUE(fine.ok()) << fine.status().message();
  change(call);
  ExpectRefused(call, code, argument);
}

void ExpectRefusedByStrictAlone(TestCall call, const std::string& argument) {
  ExpectRefusedAfter(call, With("strict", true), argument);
  call.Set("strict", true);
  EXPECT_NE(call.Run({}).status().message().find("(strict)"), std::string::npos) << argument;
}

void ExpectAllowedByStrict(TestCall call) {
  call.Set("strict", true);
  const auto run = call.Run({});
  EXPECT_TRUE(run.ok()) << run.status().message();
}

}  // namespace tamis::test
