#define TAMIS_LEVEL scalar
#include "ops/kv_rows/cpu/kernel-inl.h"
