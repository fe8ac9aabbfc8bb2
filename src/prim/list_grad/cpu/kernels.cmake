tamis_add_kernels(tamis_core prim/list_grad/cpu/kernel
  LEVELS scalar avx2 avx512
  KERNELS ListGradKeys)
