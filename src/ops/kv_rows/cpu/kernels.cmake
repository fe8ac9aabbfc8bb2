tamis_add_kernels(tamis_core ops/kv_rows/cpu/kernel
  LEVELS scalar avx2 avx512
  KERNELS PackKvRows UnpackKvRows)
