#define TAMIS_LEVEL avx2_vnni
#include "ops/lightning_indexer/cpu/kernel-inl.h"
