#define TAMIS_LEVEL avx512
#include "ops/nsa_compress/cpu/kernel-inl.h"
