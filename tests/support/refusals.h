// Calls that are fine but for one change.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/support/conformance.h"

namespace tamis::test {

using Change = std::function<void(TestCall&)>;

Change Without(const std::string& name);

/// Another value of an attribute.
template <class T>
Change With(const std::string& name, T value) {
  return [=](TestCall& call) { call.Set(name, value); };
}

/// Another tensor: every element is `value`, or one dimension with these values.
Change Filled(const std::string& name, DType dtype, std::vector<int64_t> shape, double value = 0);
Change Listed(const std::string& name, DType dtype, const std::vector<int64_t>& values);

/// The same elements, not contiguous: a gap after every row of a tensor of two dimensions or more.
Change Spread(const std::string& name);

/// The call runs as it is; after the change it is refused with `code`, as ExpectRefused says.
void ExpectRefusedAfter(TestCall call, const Change& change, const std::string& argument,
                        StatusCode code = StatusCode::kInvalidArgument);

/// The call runs as it is, and is refused with `strict`, in words that say so.
void ExpectRefusedByStrictAlone(TestCall call, const std::string& argument);

/// The call runs with `strict`.
void ExpectAllowedByStrict(TestCall call);

}  // namespace tamis::test
