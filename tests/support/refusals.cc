#include "tests/support/refusals.h"

#include <utility>

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

void ExpectRefusedAfter(TestCall call, const Change& change, const std::string& argument,
                        StatusCode code) {
  SCOPED_TRACE(argument);
  const auto fine = call.Run({});
  ASSERT_TRUE(fine.ok()) << fine.status().message();
  change(call);
  ExpectRefused(call, code, argument);
}

void ExpectRefusedByStrictAlone(TestCall call, const std::string& argument) {
  ExpectRefusedAfter(std::move(call), With("strict", true), argument);
}

}  // namespace tamis::test
