#define TAMIS_LEVEL avx2_vnni
#include "prim/cpu/compressed_attention-inl.h"
