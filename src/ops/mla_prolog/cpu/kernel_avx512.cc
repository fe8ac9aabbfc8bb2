#define TAMIS_LEVEL avx512
#include "ops/mla_prolog/cpu/kernel-inl.h"
