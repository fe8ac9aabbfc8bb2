#define TAMIS_LEVEL scalar
#include "ops/nsa_compress/cpu/kernel-inl.h"
