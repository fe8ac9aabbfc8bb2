#define TAMIS_LEVEL avx512
#include "ops/quantize_index_keys/cpu/kernel-inl.h"
