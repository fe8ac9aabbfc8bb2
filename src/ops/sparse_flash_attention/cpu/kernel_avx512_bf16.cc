#define TAMIS_LEVEL avx512_bf16
#include "ops/sparse_flash_attention/cpu/kernel-inl.h"
