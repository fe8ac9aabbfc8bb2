#define TAMIS_LEVEL scalar
#include "ops/sliding_window_attention/cpu/kernel-inl.h"
