#define TAMIS_LEVEL avx2
#include "ops/lightning_indexer/cpu/kernel-inl.h"
