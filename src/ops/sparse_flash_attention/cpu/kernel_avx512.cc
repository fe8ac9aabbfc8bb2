#define TAMIS_LEVEL avx512
#include "ops/sparse_flash_attention/cpu/kernel-inl.h"
