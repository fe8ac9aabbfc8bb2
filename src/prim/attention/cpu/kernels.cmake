tamis_add_kernels(tamis_core prim/attention/cpu/kernel
  LEVELS scalar avx2 avx2_vnni avx512 avx512_vnni avx512_bf16
  KERNELS Attention AttentionQueries AttentionSegment AttentionMerge)
