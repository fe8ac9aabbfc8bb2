tamis_add_kernels(tamis_core ops/sliding_window_attention/cpu/kernel
  LEVELS scalar avx2 avx512 avx512_bf16
  KERNELS SlidingWindowAttention)
