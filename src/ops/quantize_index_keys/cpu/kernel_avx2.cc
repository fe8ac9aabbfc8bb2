#define TAMIS_LEVEL avx2
#include "ops/quantize_index_keys/cpu/kernel-inl.h"
