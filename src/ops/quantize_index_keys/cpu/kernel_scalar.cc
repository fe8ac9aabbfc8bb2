#define TAMIS_LEVEL scalar
#include "ops/quantize_index_keys/cpu/kernel-inl.h"
