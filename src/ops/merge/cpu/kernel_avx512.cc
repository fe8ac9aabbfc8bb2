#define TAMIS_LEVEL avx512
#include "ops/merge/cpu/kernel-inl.h"
