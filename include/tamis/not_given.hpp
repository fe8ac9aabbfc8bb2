// What a required attribute holds until it is set.
#pragma once

#include <cstdint>
#include <limits>

namespace tamis {

/// The default of every required number: as an int64_t the smallest, as a double NaN. No operator
/// takes either for an answer: plan() names the attribute.
struct NotGiven {
  constexpr operator int64_t() const {  // NOLINT(google-explicit-constructor)
    return std::numeric_limits<int64_t>::min();
  }
  constexpr operator double() const {  // NOLINT(google-explicit-constructor)
    return std::numeric_limits<double>::quiet_NaN();
  }
};
inline constexpr NotGiven kNotGiven = {};

constexpr bool is_given(int64_t value) { return value != static_cast<int64_t>(kNotGiven); }
constexpr bool is_given(double value) { return value == value; }

}  // namespace tamis
