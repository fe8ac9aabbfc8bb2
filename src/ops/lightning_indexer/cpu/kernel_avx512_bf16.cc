#define TAMIS_LEVEL avx512_bf16
#include "ops/lightning_indexer/cpu/kernel-inl.h"
