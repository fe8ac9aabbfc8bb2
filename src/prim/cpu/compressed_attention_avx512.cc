#define TAMIS_LEVEL avx512
#include "prim/cpu/compressed_attention-inl.h"
