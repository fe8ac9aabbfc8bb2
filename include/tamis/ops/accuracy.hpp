// A choice that the attention operators share.
#pragma once

#include <cstdint>

namespace tamis {

/// How exactly attention multiplies. Statistics and every selection are the same either way.
///
/// kFp32: products and sums in fp32.
/// kFp32Scores: as kStorage, but scores in fp32, as where statistics are wanted: for who merges
/// parts of a softmax, or compares with a call that gives statistics, bit for bit.
/// kStorage: products of 16-bit integers, where the level has fast ones; else fp32. For tiles of
/// keys (128 in sparse_flash_attention, 64 over compressed keys) probabilities get a common factor
/// for each head, the values of a key a power of two. With p[k] the probability of key k and m[k]
/// the largest magnitude in its value, the error before the rounding of the output is at most, per
/// tile of n keys,
///   2^-15 sum_k p[k] m[k] + n max(max_k p[k] m[k] / 32767, sum_k p[k] m[k] / 65280);
/// what was seen is below the rounding of a bfloat16 output (docs/storage-accuracy.md). Values that
/// are not finite, or whose m[k] is not 0 and outside [2^-30, 2^30), take their tile to fp32.
/// Inputs in fp32 are never rounded to integers. Whatever the dtype of the output, kFp32 is for who
/// goes on with it in fp32. Where no statistics are wanted, sparse_flash_attention with kStorage
/// computes the scores of 16-bit keys so, too: of a tile whose integers are expected to move no
/// score by more than 1e-3 (as a standard deviation), and where products of bfloat16 pairs are not
/// as fast.
enum class Accuracy : int32_t { kStorage = 0, kFp32 = 1, kFp32Scores = 2 };

}  // namespace tamis
