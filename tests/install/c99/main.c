#include <stdio.h>
#include <tamis/tamis.h>

int main(void) {
  static const uint16_t values[16];
  static const int64_t prefix[] = {4}, input_shape[] = {4, 1, 2}, weight_shape[] = {2, 1};
  tamis_nsa_compress_params params;
  tamis_plan* plan = NULL;
  tamis_status status;
  tamis_nsa_compress_params_init(&params);
  params.input = tamis_dense_tensor(values, TAMIS_BFLOAT16, 3, input_shape);
  params.weight = tamis_dense_tensor(values, TAMIS_BFLOAT16, 2, weight_shape);
  params.act_seq_len.data = prefix;
  params.act_seq_len.size = 1;
  params.compress_block_size = 2;
  status = tamis_nsa_compress_plan(NULL, &params, &plan);
  printf("consumer: tamis %s, %s\n", tamis_version(), tamis_last_error());
  return status == TAMIS_NULL_ARGUMENT ? 0 : 1;
}
