/* The C interface as a C99 program sees it: compiled as C, every warning an error. */
#include <stdio.h>
#include <string.h>
#include <tamis/tamis.h>

static int failures = 0;

static void check(int holds, const char* claim) {
  if (holds) return;
  fprintf(stderr, "not so: %s (last error: %s)\n", claim, tamis_last_error());
  ++failures;
}

enum { TOKENS = 8, WINDOWS = 3, CHANNELS = 2 };
static uint16_t input[TOKENS * CHANNELS], weight[4], output[WINDOWS * CHANNELS];
static const int64_t prefix[] = {TOKENS};

/* Windows of 4 every 2 over ones, weight one: every sum is 4. */
static tamis_nsa_compress_params toy_params(void) {
  static const int64_t input_shape[] = {TOKENS, 1, CHANNELS};
  static const int64_t weight_shape[] = {4, 1};
  static const int64_t output_shape[] = {WINDOWS, 1, CHANNELS};
  tamis_nsa_compress_params params;
  int i;
  for (i = 0; i < TOKENS * CHANNELS; ++i) input[i] = 0x3f80; /* 1 in bfloat16 */
  for (i = 0; i < 4; ++i) weight[i] = 0x3f80;
  memset(output, 0, sizeof(output));
  check(tamis_nsa_compress_params_init(&params) == TAMIS_OK, "init succeeds");
  params.input = tamis_dense_tensor(input, TAMIS_BFLOAT16, 3, input_shape);
  params.weight = tamis_dense_tensor(weight, TAMIS_BFLOAT16, 2, weight_shape);
  params.output = tamis_dense_tensor(output, TAMIS_BFLOAT16, 3, output_shape);
  params.act_seq_len.data = prefix;
  params.act_seq_len.size = 1;
  params.compress_block_size = 4;
  params.compress_stride = 2;
  return params;
}

static void check_sums_of_four(const char* claim) {
  int i;
  for (i = 0; i < WINDOWS * CHANNELS; ++i) check(output[i] == 0x4080, claim);
}

static void a_typed_call_runs(void) {
  const tamis_nsa_compress_params params = toy_params();
  tamis_plan* plan = NULL;
  check(tamis_nsa_compress_plan(NULL, &params, &plan) == TAMIS_OK, "a sound call is planned");
  check(tamis_plan_workspace_bytes(plan) >= 0, "workspace is known");
  check(strstr(tamis_plan_explanation(plan), "cpu") != NULL, "the plan explains itself");
  check(tamis_plan_run(plan, NULL, 0, NULL) == TAMIS_OK, "it runs");
  check(tamis_last_error()[0] == '\0', "success leaves no message");
  check_sums_of_four("typed: sums of ones");
  tamis_plan_destroy(plan);
}

static void a_call_by_name_runs(void) {
  const tamis_nsa_compress_params params = toy_params();
  tamis_named_tensor tensors[3];
  tamis_named_attribute attributes[3];
  tamis_output outputs[2];
  int64_t count = 0;
  tamis_plan* plan = NULL;
  memset(tensors, 0, sizeof(tensors));
  memset(attributes, 0, sizeof(attributes));
  tensors[0].name = "input";
  tensors[0].tensor = params.input;
  tensors[1].name = "weight";
  tensors[1].tensor = params.weight;
  tensors[2].name = "output";
  tensors[2].tensor = params.output;
  attributes[0].name = "act_seq_len";
  attributes[0].type = TAMIS_ATTRIBUTE_INTS;
  attributes[0].value.as_ints = params.act_seq_len;
  attributes[1].name = "compress_block_size";
  attributes[1].type = TAMIS_ATTRIBUTE_INT;
  attributes[1].value.as_int = 4;
  attributes[2].name = "compress_stride";
  attributes[2].type = TAMIS_ATTRIBUTE_INT;
  attributes[2].value.as_int = 2;
  check(tamis_outputs_by_name("nsa_compress", tensors, 2, attributes, 3, outputs, 2, &count) ==
            TAMIS_OK,
        "outputs follow from inputs");
  check(count == 1 && strcmp(outputs[0].name, "output") == 0 && outputs[0].rank == 3 &&
            outputs[0].shape[0] == WINDOWS && outputs[0].dtype == TAMIS_BFLOAT16,
        "output is [3, 1, 2] bfloat16");
  check(tamis_plan_by_name(NULL, "nsa_compress", tensors, 3, attributes, 3, &plan) == TAMIS_OK,
        "a sound call by name is planned");
  check(tamis_plan_run(plan, NULL, 0, NULL) == TAMIS_OK, "it runs");
  check_sums_of_four("by name: sums of ones");
  tamis_plan_destroy(plan);
}

static void run_in_turn(void* state, int32_t tasks, tamis_task task, void* arg) {
  int32_t i;
  for (i = 0; i < tasks; ++i) task(arg, i);
  *(int*)state += 1;
}

static void a_context_says_how(void) {
  const tamis_nsa_compress_params params = toy_params();
  tamis_context* context = NULL;
  tamis_plan* plan = NULL;
  int calls = 0;
  check(tamis_context_create(&context) == TAMIS_OK, "a context is made");
  check(tamis_context_set_threads(context, 2) == TAMIS_OK, "threads are set");
  check(tamis_context_set_level(context, TAMIS_LEVEL_SCALAR) == TAMIS_OK, "the level is set");
  check(tamis_context_set_implementation(context, TAMIS_IMPLEMENTATION_REFERENCE) == TAMIS_OK,
        "the implementation is set");
  check(tamis_context_set_executor(context, run_in_turn, &calls) == TAMIS_OK,
        "the executor is set");
  check(tamis_nsa_compress_plan(context, &params, &plan) == TAMIS_OK, "the plan takes it");
  tamis_context_destroy(context);
  check(strstr(tamis_plan_explanation(plan), "reference") != NULL, "the reference runs");
  check(tamis_plan_run(plan, NULL, 0, NULL) == TAMIS_OK, "after its context is gone");
  check(calls > 0, "on the host's threads");
  check_sums_of_four("reference: sums of ones");
  tamis_plan_destroy(plan);
}

static void an_error_has_a_line(void) {
  tamis_nsa_compress_params params = toy_params();
  tamis_plan* plan = NULL;
  params.compress_stride = 0;
  check(tamis_nsa_compress_plan(NULL, &params, &plan) == TAMIS_INVALID_ARGUMENT, "stride 0");
  check(plan == NULL, "no plan then");
  check(strcmp(tamis_last_error(), "compress_stride: expected at least 1, got 0") == 0,
        "the line names the argument");
  check(strcmp(tamis_status_name(TAMIS_INVALID_ARGUMENT), "invalid_argument") == 0, "its name");
}

int main(void) {
  a_typed_call_runs();
  a_call_by_name_runs();
  a_context_says_how();
  an_error_has_a_line();
  if (failures == 0) printf("tamis %s: %d failures\n", tamis_version(), failures);
  return failures != 0;
}
