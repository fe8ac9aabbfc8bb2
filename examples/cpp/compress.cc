// Averages of pairs of tokens with nsa_compress: 6 tokens of 1 head and 8 channels, windows of 2
// every 2.
//
// cmake -B build && cmake --build build && build/compress
#include <cstdint>
#include <cstdio>
#include <tamis/tamis.hpp>
#include <vector>

int main() {
  constexpr int64_t kTokens = 6, kHeads = 1, kChannels = 8, kWindow = 2, kWindows = 3;
  std::vector<tamis::bfloat16> input(kTokens * kHeads * kChannels);
  for (size_t i = 0; i < input.size(); ++i)
    input[i] = tamis::bfloat16(static_cast<float>(i / kChannels + 1));  // token t holds t + 1
  const std::vector<tamis::bfloat16> weight(kWindow * kHeads, tamis::bfloat16(0.5F));
  std::vector<tamis::bfloat16> output(kWindows * kHeads * kChannels);

  tamis::nsa_compress::Params params;
  params.input = {input.data(), {kTokens, kHeads, kChannels}};
  params.weight = {weight.data(), {kWindow, kHeads}};
  params.output = {output.data(), {kWindows, kHeads, kChannels}};
  params.act_seq_len = {kTokens};  // one sequence
  params.compress_block_size = kWindow;
  params.compress_stride = kWindow;

  const tamis::Result<tamis::Plan> plan = tamis::nsa_compress::plan(params);
  if (!plan) {
    std::fprintf(stderr, "%s\n", plan.status().message().c_str());
    return 1;
  }
  std::printf("%s\n", plan->explanation().c_str());
  if (const tamis::Status status = plan->run(); !status) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  std::printf("windows:");
  for (int64_t w = 0; w < kWindows; ++w)
    std::printf(" %g", static_cast<double>(output[w * kHeads * kChannels]));
  std::printf("\n");
  return 0;
}
