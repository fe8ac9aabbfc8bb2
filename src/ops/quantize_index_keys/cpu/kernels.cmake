tamis_add_kernels(tamis_core ops/quantize_index_keys/cpu/kernel
  LEVELS scalar avx2 avx512
  KERNELS QuantizeIndexKeys)
