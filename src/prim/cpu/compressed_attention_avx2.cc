#define TAMIS_LEVEL avx2
#include "prim/cpu/compressed_attention-inl.h"
