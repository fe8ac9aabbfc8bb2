#define TAMIS_LEVEL avx2
#include "ops/sliding_window_attention/cpu/kernel-inl.h"
