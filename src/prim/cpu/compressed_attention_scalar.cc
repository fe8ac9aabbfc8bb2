#define TAMIS_LEVEL scalar
#include "prim/cpu/compressed_attention-inl.h"
