#define TAMIS_LEVEL avx512_vnni
#include "ops/sparse_flash_attention/cpu/kernel-inl.h"
