tamis_add_kernels(tamis_core ops/sparse_flash_attention/cpu/grad_kernel
  LEVELS scalar avx2 avx512 avx512_bf16
  KERNELS SparseFlashAttentionGradQueries SparseFlashAttentionGradSinks)
