#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.h"

// The prototype is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string failure = tamis::fuzz::TryCaseFile(bytes, size);
  if (failure.empty()) return 0;
  std::fprintf(stderr, "%s\n", failure.c_str());
  std::abort();
}
