#define TAMIS_LEVEL avx2
#include "ops/mla_prolog/cpu/kernel-inl.h"
