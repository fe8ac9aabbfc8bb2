#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.h"

namespace {

void PrintTried() { std::fputs(tamis::fuzz::Tried().c_str(), stderr); }

}  // namespace

// The prototypes are libFuzzer's.
extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  return std::atexit(&PrintTried);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string failure = tamis::fuzz::TryCall(bytes, size);
  if (failure.empty()) return 0;
  std::fprintf(stderr, "%s\n", failure.c_str());
  std::abort();
}
