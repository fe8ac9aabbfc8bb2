#define TAMIS_LEVEL avx2_vnni
#include "ops/sparse_flash_attention/cpu/kernel-inl.h"
