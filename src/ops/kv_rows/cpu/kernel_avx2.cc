#define TAMIS_LEVEL avx2
#include "ops/kv_rows/cpu/kernel-inl.h"
