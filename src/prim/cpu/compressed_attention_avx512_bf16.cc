#define TAMIS_LEVEL avx512_bf16
#include "prim/cpu/compressed_attention-inl.h"
