// Averages of pairs of tokens with nsa_compress: 6 tokens of 1 head and 8 channels, windows of 2
// every 2.
//
// cmake -B build && cmake --build build && build/compress
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <tamis/tamis.hpp>
#include <vector>

namespace {

// bfloat16 is the upper half of a float32. These values are exact in it.
uint16_t ToBFloat16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>(bits >> 16);
}

float FromBFloat16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace

int main() {
  constexpr int64_t kTokens = 6, kHeads = 1, kChannels = 8, kWindow = 2, kWindows = 3;
  std::vector<uint16_t> input(kTokens * kHeads * kChannels);
  for (size_t i = 0; i < input.size(); ++i)
    input[i] = ToBFloat16(static_cast<float>(i / kChannels + 1));  // token t holds t + 1
  const std::vector<uint16_t> weight(kWindow * kHeads, ToBFloat16(0.5F));
  std::vector<uint16_t> output(kWindows * kHeads * kChannels);
  const std::vector<int64_t> prefix = {kTokens};  // one sequence

  const auto bf16 = tamis::DType::kBFloat16;
  tamis::nsa_compress::Params params;
  params.input = {input.data(), bf16, {kTokens, kHeads, kChannels}};
  params.weight = {weight.data(), bf16, {kWindow, kHeads}};
  params.output = {output.data(), bf16, {kWindows, kHeads, kChannels}};
  params.act_seq_len = prefix;
  params.compress_block_size = kWindow;
  params.compress_stride = kWindow;

  const tamis::Result<tamis::Plan> plan = tamis::nsa_compress::plan(params);
  if (!plan.ok()) {
    std::fprintf(stderr, "%s\n", plan.status().message().c_str());
    return 1;
  }
  std::printf("%s\n", plan->explanation().c_str());
  if (const tamis::Status status = plan->run(); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  std::printf("windows:");
  for (int64_t w = 0; w < kWindows; ++w)
    std::printf(" %g", static_cast<double>(FromBFloat16(output[w * kHeads * kChannels])));
  std::printf("\n");
  return 0;
}
