#define TAMIS_LEVEL scalar
#include "ops/mla_prolog/cpu/kernel-inl.h"
