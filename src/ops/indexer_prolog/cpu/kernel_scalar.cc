#define TAMIS_LEVEL scalar
#include "ops/indexer_prolog/cpu/kernel-inl.h"
