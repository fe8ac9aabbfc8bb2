#define TAMIS_LEVEL scalar
#include "ops/sparse_flash_attention/cpu/kernel-inl.h"
