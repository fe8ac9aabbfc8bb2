#define TAMIS_LEVEL avx512
#include "ops/indexer_prolog/cpu/kernel-inl.h"
