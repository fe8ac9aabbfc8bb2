#define TAMIS_LEVEL avx2
#include "ops/merge/cpu/kernel-inl.h"
