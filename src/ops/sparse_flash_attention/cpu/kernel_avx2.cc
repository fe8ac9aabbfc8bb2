#define TAMIS_LEVEL avx2
#include "ops/sparse_flash_attention/cpu/kernel-inl.h"
