tamis_add_kernels(tamis_core ops/nsa_compress/cpu/kernel
  LEVELS scalar avx2 avx512
  KERNELS NsaCompress)
tamis_add_kernels(tamis_core ops/nsa_compress/cpu/grad_kernel
  LEVELS scalar avx2 avx512
  KERNELS NsaCompressGrad NsaCompressGradRest)
