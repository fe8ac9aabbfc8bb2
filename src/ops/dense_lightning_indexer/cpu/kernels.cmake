tamis_add_kernels(tamis_core ops/dense_lightning_indexer/cpu/softmax_lse
  LEVELS scalar avx2 avx512 avx512_bf16
  KERNELS DenseIndexerSoftmaxLse)
tamis_add_kernels(tamis_core ops/dense_lightning_indexer/cpu/grad_kl_loss
  LEVELS scalar avx2 avx512 avx512_bf16
  KERNELS DenseIndexerLossQueries DenseIndexerLossKeys)
tamis_add_kernels(tamis_core ops/dense_lightning_indexer/cpu/sparse_kl_loss
  LEVELS scalar avx2 avx512 avx512_bf16
  KERNELS SparseIndexerLossQueries)
