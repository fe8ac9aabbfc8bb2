#define TAMIS_LEVEL avx512
#include "ops/lightning_indexer/cpu/kernel-inl.h"
