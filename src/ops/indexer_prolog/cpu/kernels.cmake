tamis_add_kernels(tamis_core ops/indexer_prolog/cpu/kernel
  LEVELS scalar avx2 avx512 avx512_bf16
  KERNELS IndexerPrologProject IndexerPrologNorm)
