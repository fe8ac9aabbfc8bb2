#define TAMIS_LEVEL avx512
#include "ops/kv_rows/cpu/kernel-inl.h"
