// What the fuzzers try, without the fuzzer: the tests run the seed corpus through the same
// functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tamis::fuzz {

/// Memory beyond this is refused, here and by the targets.
inline constexpr size_t kLargestAllocation = size_t{1} << 28;

/// A random call of some operator, drawn from the bytes; sometimes one or two of its arguments are
/// changed. Planned and run through the C interface. Returns what the library did wrong; empty:
/// nothing.
std::string TryCall(const uint8_t* bytes, size_t size);

/// The bytes as a case file: read, built into a call, planned and run. Returns what the library did
/// wrong; empty: nothing.
std::string TryCaseFile(const uint8_t* bytes, size_t size);

/// What has been tried, a line per operator.
std::string Tried();

}  // namespace tamis::fuzz
