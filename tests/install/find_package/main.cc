#include <cstdio>
#include <tamis/tamis.hpp>
#include <vector>

int main() {
  const std::vector<tamis::bfloat16> values(16);
  tamis::nsa_compress::Params params;
  params.input = {values.data(), {4, 1, 2}};
  params.weight = {values.data(), {2, 1}};
  params.act_seq_len = {4};
  params.compress_block_size = 2;
  const tamis::Result<tamis::Plan> plan = tamis::nsa_compress::plan(params);
  std::printf("consumer: tamis %s, %s\n", tamis::version(), plan.status().message().c_str());
  return plan.ok() ? 1 : 0;
}
