// What document 002 prints, wide and strict.
#include <gtest/gtest.h>

#include "ops/nsa_compress_attention/test_calls.h"

namespace tamis::test::compressed {
namespace {

using Ints = std::vector<int64_t>;

// A call that the document allows; `sel` counts select blocks, as its example has it.
TestCall Allowed(const Shape& s = {}) {
  TestCall call = Attention(s, 26);
  Ints blocks;
  for (const int64_t keys : s.keys) blocks.push_back((keys + 3) / 4);
  call.Set("actual_sel_seq_kvlen", Prefix(blocks));
  return call;
}

TestCall Changed(const Change& change, const Shape& s = {}) {
  TestCall call = Allowed(s);
  change(call);
  return call;
}

TEST(NsaCompressAttention, StrictTakesWhatTheDocumentAllows) {
  ExpectAllowedByStrict(Allowed());
  Shape s;
  s.dtype = DType::kFloat16;
  s.queries = {0, 5, 3};
  s.keys = {9, 1, 40};
  s.gap = 3;  // tensors need not be contiguous
  ExpectAllowedByStrict(Allowed(s));
  s.v_dim = s.qk_dim;
  ExpectAllowedByStrict(Allowed(s));
}

TEST(NsaCompressAttention, StrictWantsSizesOf16AndValuesNoWiderThanKeys) {
  const auto refuse = [](const auto& change, const char* argument) {
    Shape s;
    change(s);
    ExpectRefusedByStrictAlone(Allowed(s), argument);
  };
  refuse([](Shape& s) { s.block = 40; }, "compress_block_size");
  refuse([](Shape& s) { s.stride = 8; }, "compress_stride");
  refuse([](Shape& s) { s.select = 72, s.stride = 8; }, "compress_stride");
  refuse([](Shape& s) { s.v_dim = s.qk_dim + 1; }, "value");
}

// A multiple of the stride, which is a multiple of 16 itself: so the document's line about
// select_block_size never stands alone.
TEST(NsaCompressAttention, ASelectBlockIsAMultipleOfTheStrideWideAndStrict) {
  Shape s;
  s.stride = 32;
  s.block = 48;
  for (const bool strict : {false, true}) {
    TestCall call = Allowed(s);
    call.Set("strict", strict);
    ExpectRefusedAfter(call, With("select_block_size", 80), "select_block_size");
    ExpectRefusedAfter(call, With("select_block_size", 16), "select_block_size");
  }
}

// Windows of 48 tokens every 32, which the document and the device allow: importance counts whole
// strides, one here, so it is that of windows of 32.
TEST(NsaCompressAttention, WindowsNeedNotBeMultiplesOfTheStride) {
  Shape s;
  s.stride = 32;
  s.block = 48;
  s.queries = {70};
  s.keys = {23};
  for (const char* importance : {"cann", "exact_overlap"}) {
    TestCall partial = Attention(s, 27);
    partial.Set("importance", importance);
    ExpectConforms(partial);
    TestCall whole = Attention(s, 27);
    whole.Set("importance", importance).Set("compress_block_size", 32);
    ExpectSameBytes(partial, whole);
  }
  ExpectAllowedByStrict(Allowed(s));
}

TEST(NsaCompressAttention, StrictTakesNoEmptyTensor) {
  const auto refuse = [](const auto& change, const char* argument) {
    Shape s;
    change(s);
    ExpectRefusedByStrictAlone(Allowed(s), argument);
  };
  refuse([](Shape& s) { s.queries = {0}; }, "query");
  refuse([](Shape& s) { s.keys = {0}; }, "key");
  refuse([](Shape& s) { s.qk_dim = 0, s.v_dim = 0; }, "query");
  refuse([](Shape& s) { s.v_dim = 0; }, "value");
  refuse([](Shape& s) { s.queries = {2, 2}, s.keys = {0, 9}; }, "actual_cmp_seq_kvlen");
}

TEST(NsaCompressAttention, StrictTakesMasksOfBoolsOnly) {
  const Shape s;
  const std::pair<const char*, Ints> masks[] = {{"atten_mask", {s.max_q(), s.max_n()}},
                                                {"topk_mask", {s.max_q(), s.max_blocks()}}};
  for (const auto& [name, shape] : masks) {
    ExpectAllowedByStrict(Changed(Filled(name, DType::kBool, shape, 1)));
    ExpectRefusedByStrictAlone(Changed(Filled(name, DType::kUInt8, shape, 1)), name);
  }
}

TEST(NsaCompressAttention, StrictWantsPrefixSumsOfSelectBlocks) {
  Shape s;
  s.queries = {4, 5};
  s.keys = {9, 14};
  const char* const name = "actual_sel_seq_kvlen";
  for (const Ints& fine : {Ints{3, 7}, Ints{0, 0}, Ints{100, 5000}})
    ExpectAllowedByStrict(Changed(With(name, fine), s));
  for (const Ints& bad : {Ints{}, Ints{7}, Ints{3, 7, 9}, Ints{7, 3}, Ints{-1, 3}})
    ExpectRefusedByStrictAlone(Changed(With(name, bad), s), name);
  ExpectRefusedByStrictAlone(Changed(Without(name), s), name);
}

// The document bounds neither the number of blocks nor, as the device does, the sizes.
TEST(NsaCompressAttention, StrictTakesMoreBlocksThanThereAre) {
  Shape s;
  s.queries = {4, 5};
  s.keys = {9, 50};
  s.block = 192;
  s.select = 160;
  s.count = 40;
  TestCall call = Allowed(s);
  ExpectAllowedByStrict(call);
  TestCall strict = Allowed(s);
  strict.Set("strict", true);
  ExpectSameBytes(call, strict);
}

TEST(NsaCompressAttention, StrictKeepsToWhatTheDocumentsCallCanSay) {
  ExpectRefusedByStrictAlone(Changed(With("importance", "exact_overlap")), "importance");
  ExpectRefusedByStrictAlone(Changed(With("masked_rows", "zero")), "masked_rows");
  ExpectAllowedByStrict(Changed(With("accuracy", "fp32")));
}

}  // namespace
}  // namespace tamis::test::compressed
