#define TAMIS_LEVEL avx512_bf16
#include "ops/indexer_prolog/cpu/kernel-inl.h"
