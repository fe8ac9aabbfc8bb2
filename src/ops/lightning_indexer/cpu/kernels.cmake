tamis_add_kernels(tamis_core ops/lightning_indexer/cpu/kernel
  LEVELS scalar avx2 avx2_vnni avx512 avx512_vnni avx512_bf16
  KERNELS LightningIndexer LightningIndexerPrepare LightningIndexerScan LightningIndexerRescore LightningIndexerPruned)
tamis_add_kernels(tamis_core ops/lightning_indexer/cpu/grad_kernel
  LEVELS scalar avx2 avx512 avx512_bf16
  KERNELS LightningIndexerGradQueries)
