#define TAMIS_LEVEL avx512_bf16
#include "ops/mla_prolog/cpu/kernel-inl.h"
