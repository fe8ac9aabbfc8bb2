#define TAMIS_LEVEL scalar
#include "ops/lightning_indexer/cpu/kernel-inl.h"
