#define TAMIS_LEVEL avx512_vnni
#include "prim/cpu/compressed_attention-inl.h"
