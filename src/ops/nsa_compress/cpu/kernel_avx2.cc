#define TAMIS_LEVEL avx2
#include "ops/nsa_compress/cpu/kernel-inl.h"
