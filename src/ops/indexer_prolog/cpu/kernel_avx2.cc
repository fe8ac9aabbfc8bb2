#define TAMIS_LEVEL avx2
#include "ops/indexer_prolog/cpu/kernel-inl.h"
