#define TAMIS_LEVEL avx2
#include "bench/calibrate-inl.h"
