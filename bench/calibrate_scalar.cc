#define TAMIS_LEVEL scalar
#include "bench/calibrate-inl.h"
