#define TAMIS_LEVEL avx512
#include "ops/sliding_window_attention/cpu/kernel-inl.h"
