#define TAMIS_LEVEL avx512_bf16
#include "ops/sliding_window_attention/cpu/kernel-inl.h"
