#define TAMIS_LEVEL avx512_vnni
#include "ops/lightning_indexer/cpu/kernel-inl.h"
