/* Tamis, the C interface (C99): sparse-attention operators for CPUs.
 *
 * A call has two steps. Plan: everything that can fail on bad input fails here, before anything is
 * written. Run: does the work, any number of times.
 *
 *   tamis_nsa_compress_params params;
 *   tamis_nsa_compress_params_init(&params);   (required numbers: not given, until you set them)
 *   params.input = ...;
 *   tamis_plan* plan = NULL;
 *   if (tamis_nsa_compress_plan(NULL, &params, &plan) != TAMIS_OK) puts(tamis_last_error());
 *   else tamis_plan_run(plan, NULL, 0, NULL);
 *   tamis_plan_destroy(plan);
 *
 * The typed calls, one set per operator, stand in tamis_ops.h, which this header includes; calls by
 * name serve bindings and tools. No function throws, aborts or prints. Every function may be called
 * from several threads at once, except that a context must not be changed or destroyed while
 * another thread uses it, nor a plan destroyed while it runs. */
#ifndef TAMIS_TAMIS_H_
#define TAMIS_TAMIS_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define TAMIS_C_API
#else
#define TAMIS_C_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* --- status --------------------------------------------------------------------------------- */

/* The last two are the error codes of the operators' documents. */
typedef int32_t tamis_status;
enum {
  TAMIS_OK = 0,
  TAMIS_UNSUPPORTED = 1, /* well formed, but nothing here can run it */
  TAMIS_NO_MEMORY = 2,
  TAMIS_DEVICE_ERROR = 3,
  TAMIS_INTERNAL_ERROR = 4,
  TAMIS_NULL_ARGUMENT = 161001,   /* a required argument is absent */
  TAMIS_INVALID_ARGUMENT = 161002 /* a dtype, shape, stride, length, index or attribute is wrong */
};

/* "ok", "null_argument", ...; "unknown" for a value that is no status. */
TAMIS_C_API const char* tamis_status_name(tamis_status status);

/* One line that says why the last call of this thread failed: argument, what was expected, what
 * came. Empty if it succeeded. Valid until this thread's next call. */
TAMIS_C_API const char* tamis_last_error(void);

/* "major.minor.patch" */
TAMIS_C_API const char* tamis_version(void);

/* --- arguments ------------------------------------------------------------------------------ */

typedef int32_t tamis_dtype;
enum {
  TAMIS_DTYPE_NONE = 0, /* the tensor is absent */
  TAMIS_FLOAT16 = 1,
  TAMIS_BFLOAT16 = 2,
  TAMIS_FLOAT32 = 3,
  TAMIS_FLOAT64 = 4,
  TAMIS_INT8 = 5,
  TAMIS_UINT8 = 6,
  TAMIS_INT32 = 7,
  TAMIS_INT64 = 8,
  TAMIS_BOOL = 9
};

enum { TAMIS_DEVICE_CPU = 0, TAMIS_DEVICE_CUDA = 1 };
enum { TAMIS_MAX_RANK = 8 };
/* The rank, with dtype 0, of an output whose dtype and shape a plan is to find: tamis_plan_tensor
 * tells them, a run brings the memory. Absent where the call does not give it. */
enum { TAMIS_INFERRED = -1 };

/* A borrowed view. All zero: absent (an optional input not given, an optional output not wanted).
 * Strides count elements, are not negative, and the last dimension's is 1. */
typedef struct tamis_tensor {
  void* data;
  tamis_dtype dtype;
  int32_t rank;
  int64_t shape[TAMIS_MAX_RANK];
  int64_t strides[TAMIS_MAX_RANK];
  int32_t device;
  int32_t device_index;
} tamis_tensor;

/* A dense row-major view of `data`; `shape` holds `rank` sizes. A rank outside 0 to 8, or a null
 * shape of a rank above 0, gives a view of rank -1, which every plan refuses. */
TAMIS_C_API tamis_tensor tamis_dense_tensor(const void* data, tamis_dtype dtype, int32_t rank,
                                            const int64_t* shape);

/* A borrowed list, copied by the plan. NULL and 0: absent; data and 0: an empty list. */
typedef struct tamis_int_list {
  const int64_t* data;
  int64_t size;
} tamis_int_list;

/* --- context: how to run -------------------------------------------------------------------- */

/* Threads, level, implementation, executor. Wherever a context is taken, NULL means defaults. */
typedef struct tamis_context tamis_context;

enum {
  TAMIS_LEVEL_AUTO = 0,
  TAMIS_LEVEL_SCALAR = 1,
  TAMIS_LEVEL_AVX2 = 2,
  TAMIS_LEVEL_AVX2_VNNI = 3,
  TAMIS_LEVEL_AVX512 = 4,
  TAMIS_LEVEL_AVX512_VNNI = 5,
  TAMIS_LEVEL_AVX512_BF16 = 6
};
enum {
  TAMIS_IMPLEMENTATION_AUTO = 0,
  TAMIS_IMPLEMENTATION_REFERENCE = 1, /* float64, scalar: the specification */
  TAMIS_IMPLEMENTATION_CPU = 2,
  TAMIS_IMPLEMENTATION_CUDA = 3
};

TAMIS_C_API tamis_status tamis_context_create(tamis_context** context);
/* NULL is allowed. Plans made with the context stay valid. */
TAMIS_C_API void tamis_context_destroy(tamis_context* context);

/* Tasks to split into, up to 1024. 0: TAMIS_NUM_THREADS if set, else this process's processors. */
TAMIS_C_API tamis_status tamis_context_set_threads(tamis_context* context, int32_t threads);
/* TAMIS_LEVEL_AUTO: the environment's TAMIS_LEVEL if set, else the best of this processor. */
TAMIS_C_API tamis_status tamis_context_set_level(tamis_context* context, int32_t level);
TAMIS_C_API tamis_status tamis_context_set_implementation(tamis_context* context,
                                                          int32_t implementation);

typedef void (*tamis_task)(void* arg, int32_t index);
/* Calls task(arg, i) exactly once for every i in [0, tasks), on any threads, and returns when all
 * have returned. Tasks never wait for each other. */
typedef void (*tamis_executor)(void* state, int32_t tasks, tamis_task task, void* arg);
/* The host's threads instead of Tamis's own; NULL: Tamis's own. */
TAMIS_C_API tamis_status tamis_context_set_executor(tamis_context* context, tamis_executor run,
                                                    void* state);

/* --- plans ---------------------------------------------------------------------------------- */

/* A call that passed every check of shapes, dtypes, attributes, lengths, page tables and slots.
 * It keeps what it needs of those three; of all other tensors it knows the shape, and their data
 * may be NULL when it is made. A run changes nothing in it: several threads may run one at once,
 * each with tensors and a workspace of its own. */
typedef struct tamis_plan tamis_plan;

/* Bytes of scratch that a run needs; -1 for a null plan. */
TAMIS_C_API int64_t tamis_plan_workspace_bytes(const tamis_plan* plan);
/* Runs on the tensors that the plan was made with.
 * `workspace`: 64-byte aligned, or NULL: memory of the library, of which the calling thread keeps
 * up to 32 MiB for its next such run, until it ends. `stream`: NULL on a CPU, where the call
 * returns when the work is done. */
TAMIS_C_API tamis_status tamis_plan_run(const tamis_plan* plan, void* workspace,
                                        int64_t workspace_bytes, void* stream);
/* The same on other tensors: tamis_<operator>_run and tamis_plan_run_by_name. Each has the dtype
 * and shape that the plan was made with, or is absent where it was; addresses and strides are free.
 * Tensors that the plan has read are not looked at. Allocates nothing. */
/* The tensor of that name as the plan was made with it, dtype 0: it has none. Of an output that was
 * given with dtype 0 and rank TAMIS_INFERRED, which the plan finds dtype and shape of: what a run
 * must bring. */
TAMIS_C_API tamis_status tamis_plan_tensor(const tamis_plan* plan, const char* name,
                                           tamis_tensor* tensor);
/* One line: which implementation runs and why. Lives until the plan is renewed or destroyed; NULL
 * for a null plan. */
TAMIS_C_API const char* tamis_plan_explanation(const tamis_plan* plan);
/* NULL is allowed. */
TAMIS_C_API void tamis_plan_destroy(tamis_plan* plan);

/* --- calls by name -------------------------------------------------------------------------- */

typedef struct tamis_named_tensor {
  const char* name;
  tamis_tensor tensor;
} tamis_named_tensor;

enum {
  TAMIS_ATTRIBUTE_INT = 1,
  TAMIS_ATTRIBUTE_FLOAT = 2,
  TAMIS_ATTRIBUTE_BOOL = 3,
  TAMIS_ATTRIBUTE_STRING = 4,
  TAMIS_ATTRIBUTE_INTS = 5
};

/* `type` says which member of `value` counts. An integer is a valid float. */
typedef struct tamis_named_attribute {
  const char* name;
  int32_t type;
  int32_t reserved; /* 0 */
  union {
    int64_t as_int; /* also bool: 0 or 1 */
    double as_float;
    const char* as_string;
    tamis_int_list as_ints;
  } value;
} tamis_named_attribute;

/* Shape and dtype of an output that the caller is to allocate. */
typedef struct tamis_output {
  const char* name; /* static storage */
  tamis_dtype dtype;
  int32_t rank;
  int64_t shape[TAMIS_MAX_RANK];
  int32_t optional; /* 1: may be left absent */
  int32_t reserved; /* 0 */
} tamis_output;

/* Inputs and outputs both stand in `tensors`. On failure *plan is NULL. */
TAMIS_C_API tamis_status tamis_plan_by_name(const tamis_context* context, const char* operator_name,
                                            const tamis_named_tensor* tensors, int64_t tensor_count,
                                            const tamis_named_attribute* attributes,
                                            int64_t attribute_count, tamis_plan** plan);

/* Runs the plan on these tensors, inputs and outputs; workspace and stream are tamis_plan_run's. */
TAMIS_C_API tamis_status tamis_plan_run_by_name(const tamis_plan* plan,
                                                const tamis_named_tensor* tensors,
                                                int64_t tensor_count, void* workspace,
                                                int64_t workspace_bytes, void* stream);

/* Gives the plan new integers: lengths, page tables and slots among `tensors`, lists among
 * `attributes`, all that the plan was made with; other tensors are not looked at. There are as many
 * as before, in tensors of the same dtypes and shapes. Checks what planning checks. Allocates
 * nothing where it needs no longer lists than ever before, but copies of lists. A plan whose
 * renewal failed after its shapes were found right refuses to run until one succeeds. *changed (not
 * set where `changed` is NULL) is 0 where nothing that the plan needs differs, else 1: then
 * tamis_plan_workspace_bytes may change. One owner renews: no run may be in flight, and no other
 * thread may use the plan meanwhile. */
TAMIS_C_API tamis_status tamis_plan_renew_by_name(tamis_plan* plan,
                                                  const tamis_named_tensor* tensors,
                                                  int64_t tensor_count,
                                                  const tamis_named_attribute* attributes,
                                                  int64_t attribute_count, int32_t* changed);

/* What the outputs of a call must be, from the inputs alone (outputs among `tensors` are not looked
 * at). Writes at most `capacity` of them to `outputs` (null if capacity is 0) and their number to
 * *count. */
TAMIS_C_API tamis_status tamis_outputs_by_name(const char* operator_name,
                                               const tamis_named_tensor* tensors,
                                               int64_t tensor_count,
                                               const tamis_named_attribute* attributes,
                                               int64_t attribute_count, tamis_output* outputs,
                                               int64_t capacity, int64_t* count);

TAMIS_C_API int64_t tamis_operator_count(void);
/* NULL unless index is in [0, tamis_operator_count()). Static storage. */
TAMIS_C_API const char* tamis_operator_name(int64_t index);
/* The operator's contract as one line of JSON: arguments, dtypes, shapes, defaults, limits. Static
 * storage; NULL for an unknown name. */
TAMIS_C_API const char* tamis_describe(const char* operator_name);

#ifdef __cplusplus
}
#endif

#include "tamis_ops.h"

#endif
