// The seed corpus through the fuzzers' targets, without the fuzzer.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"

namespace tamis::fuzz {
namespace {

std::vector<std::filesystem::path> Seeds(const std::string& target) {
  std::vector<std::filesystem::path> paths;
  const std::filesystem::path folder =
      std::filesystem::path(TAMIS_SOURCE_DIR) / "tests/fuzz/corpus";
  for (const auto& entry : std::filesystem::directory_iterator(folder / target))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<uint8_t> BytesOf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// At least `least` seeds, and no complaint about any.
void ExpectSeedsPass(const char* target, size_t least,
                     std::string (*attempt)(const uint8_t* bytes, size_t size)) {
  const auto seeds = Seeds(target);
  EXPECT_GE(seeds.size(), least);
  for (const auto& path : seeds) {
    const std::vector<uint8_t> bytes = BytesOf(path);
    EXPECT_EQ(attempt(bytes.data(), bytes.size()), "") << path;
  }
}

TEST(FuzzTargets, SeedCallsAgreeOrAreRefused) { ExpectSeedsPass("calls", 45, TryCall); }

TEST(FuzzTargets, SeedCaseFilesRun) { ExpectSeedsPass("case_file", 15, TryCaseFile); }

// Bytes that a fuzzer might come to: prefixes of seeds, and seeds with one byte changed.
TEST(FuzzTargets, DamagedSeedsAreRefusedOrRun) {
  for (const auto& path : Seeds("case_file")) {
    const std::vector<uint8_t> bytes = BytesOf(path);
    const size_t header = std::min<size_t>(bytes.size(), 400);
    for (size_t at = 0; at < header; at += 7) {
      EXPECT_EQ(TryCaseFile(bytes.data(), at), "") << path << " cut at " << at;
      std::vector<uint8_t> changed = bytes;
      changed[at] ^= 0x15;
      EXPECT_EQ(TryCaseFile(changed.data(), changed.size()), "") << path << " changed at " << at;
    }
  }
}

}  // namespace
}  // namespace tamis::fuzz
