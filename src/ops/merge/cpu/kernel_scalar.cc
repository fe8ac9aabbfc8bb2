#define TAMIS_LEVEL scalar
#include "ops/merge/cpu/kernel-inl.h"
