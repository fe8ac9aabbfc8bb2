/* Averages of pairs of tokens with nsa_compress: 6 tokens of 1 head and 8 channels, windows of 2
 * every 2.
 *
 * cc -std=c99 compress.c $(pkg-config --cflags --libs tamis) -o compress
 */
#include <stdio.h>
#include <string.h>
#include <tamis/tamis.h>

enum { TOKENS = 6, HEADS = 1, CHANNELS = 8, WINDOW = 2, WINDOWS = 3 };

/* bfloat16 is the upper half of a float32. These values are exact in it. */
static uint16_t to_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return (uint16_t)(bits >> 16);
}

static float from_bfloat16(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

int main(void) {
  static uint16_t input[TOKENS * HEADS * CHANNELS], weight[WINDOW * HEADS];
  static uint16_t output[WINDOWS * HEADS * CHANNELS];
  const int64_t input_shape[] = {TOKENS, HEADS, CHANNELS};
  const int64_t weight_shape[] = {WINDOW, HEADS};
  const int64_t output_shape[] = {WINDOWS, HEADS, CHANNELS};
  const int64_t prefix[] = {TOKENS}; /* one sequence */
  tamis_nsa_compress_params params;
  tamis_plan* plan = NULL;
  int i;

  for (i = 0; i < TOKENS * HEADS * CHANNELS; ++i) /* token t holds t + 1 */
    input[i] = to_bfloat16((float)(i / CHANNELS + 1));
  for (i = 0; i < WINDOW * HEADS; ++i) weight[i] = to_bfloat16(0.5F);

  tamis_nsa_compress_params_init(&params);
  params.input = tamis_dense_tensor(input, TAMIS_BFLOAT16, 3, input_shape);
  params.weight = tamis_dense_tensor(weight, TAMIS_BFLOAT16, 2, weight_shape);
  params.output = tamis_dense_tensor(output, TAMIS_BFLOAT16, 3, output_shape);
  params.act_seq_len.data = prefix;
  params.act_seq_len.size = 1;
  params.compress_block_size = WINDOW;
  params.compress_stride = WINDOW;

  if (tamis_nsa_compress_plan(NULL, &params, &plan) != TAMIS_OK) {
    fprintf(stderr, "%s\n", tamis_last_error());
    return 1;
  }
  printf("%s\n", tamis_plan_explanation(plan));
  if (tamis_plan_run(plan, NULL, 0, NULL) != TAMIS_OK) {
    fprintf(stderr, "%s\n", tamis_last_error());
    return 1;
  }
  tamis_plan_destroy(plan);
  printf("windows:");
  for (i = 0; i < WINDOWS; ++i) printf(" %g", (double)from_bfloat16(output[i * HEADS * CHANNELS]));
  printf("\n");
  return 0;
}
