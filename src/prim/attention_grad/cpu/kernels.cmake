tamis_add_kernels(tamis_core prim/attention_grad/cpu/kernel
  LEVELS scalar avx2 avx512 avx512_bf16
  KERNELS AttentionGradQueries AttentionGradKeys)
