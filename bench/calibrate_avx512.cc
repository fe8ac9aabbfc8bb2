#define TAMIS_LEVEL avx512
#include "bench/calibrate-inl.h"
