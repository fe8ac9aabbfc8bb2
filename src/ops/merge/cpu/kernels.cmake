tamis_add_kernels(tamis_core ops/merge/cpu/kernel
  LEVELS scalar avx2 avx512
  KERNELS MergeAttentionStates)
