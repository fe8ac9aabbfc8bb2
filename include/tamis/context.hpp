// Context: how to run (threads, level, implementation). What to compute is said by an operator's
// attributes.
#pragma once

#include <cstdint>

namespace tamis {

enum class Implementation : int32_t {
  kAuto = 0,       ///< The fastest that can run the problem here.
  kReference = 1,  ///< float64, scalar: the specification.
  kCpu = 2,
  kCuda = 3,
};

/// Instruction sets that kernels are compiled for; what each needs is a superset of the one before,
/// but for AVX-VNNI, which only kAvx2Vnni needs.
enum class Level : int32_t {
  kAuto = 0,
  kScalar = 1,
  kAvx2 = 2,        ///< AVX2 FMA F16C BMI2
  kAvx2Vnni = 3,    ///< and AVX-VNNI: products of 16-bit integers, two at a time (see Accuracy)
  kAvx512 = 4,      ///< AVX-512 F BW DQ VL CD
  kAvx512Vnni = 5,  ///< and VNNI: products of 16-bit integers, two at a time
  kAvx512Bf16 = 6,  ///< and BF16: products of two bfloat16 tensors, two at a time
};

/// The seam for a host's threads: run(state, tasks, task, arg) calls task(arg, i) exactly once for
/// every i in [0, tasks), on any threads, and returns when all have returned. Tasks never wait for
/// each other, so running them one after the other is allowed.
struct Executor {
  void* state = nullptr;
  void (*run)(void* state, int32_t tasks, void (*task)(void* arg, int32_t index),
              void* arg) = nullptr;
};

/// How to run. Copied into the plan; results never depend on it, bit for bit, except through
/// `implementation` and `level`.
struct Context {
  /// Tasks to split into. 0: TAMIS_NUM_THREADS if set, else the processors this process may use.
  int32_t threads = 0;
  /// kAuto: TAMIS_LEVEL if set, else the fastest level of this processor.
  Level level = Level::kAuto;
  Implementation implementation = Implementation::kAuto;
  /// The host's threads. Absent: Tamis's own pool.
  Executor executor = {};
};

}  // namespace tamis
