// What document 000 prints, wide and strict.
#include <gtest/gtest.h>

#include <functional>

#include "ops/nsa_compress_attention_infer/test_calls.h"

namespace tamis::test::decoding {
namespace {

using Edit = std::function<void(Shape&)>;

// A call that the document allows, after `edit`.
TestCall Allowed(const Edit& edit = [](Shape&) {}) {
  Shape s;
  s.group = 16;
  s.qk_dim = 192;
  s.v_dim = 128;
  s.page = 64;
  s.keys = {61};
  s.tokens = {992};
  edit(s);
  return Infer(s, 46);
}

TestCall Changed(
    const Change& change, const Edit& edit = [](Shape&) {}) {
  TestCall call = Allowed(edit);
  change(call);
  return call;
}

void Allow(const Edit& edit) { ExpectAllowedByStrict(Allowed(edit)); }
void Refuse(const Edit& edit, const char* argument) {
  ExpectRefusedByStrictAlone(Allowed(edit), argument);
}

TEST(NsaCompressAttentionInfer, StrictHasTheDocumentsHeadsDimsAndPages) {
  Allow([](Shape&) {});
  Allow([](Shape& s) { s.dtype = DType::kBFloat16, s.page = 128, s.group = 1, s.kv_heads = 3; });
  Refuse([](Shape& s) { s.group = 17; }, "head_num");
  Allow([](Shape& s) { s.kv_heads = 256, s.group = 1, s.spare_pages = 0; });
  Refuse([](Shape& s) { s.kv_heads = 257, s.group = 1, s.spare_pages = 0; }, "key_value_head_num");
  Refuse([](Shape& s) { s.qk_dim = 128; }, "query");
  Refuse([](Shape& s) { s.v_dim = 64; }, "value");
  Refuse([](Shape& s) { s.page = 32; }, "page_block_size");
  Refuse([](Shape& s) { s.page = 192; }, "page_block_size");
}

TEST(NsaCompressAttentionInfer, StrictTakes1To3072Sequences) {
  // One page for all: 3072 of their own would be 125 MB.
  const auto shared = [](size_t count) {
    TestCall call("nsa_compress_attention_infer");
    const auto b = static_cast<int64_t>(count);
    const auto one = [](int64_t) { return 1.0; };
    const auto zero = [](int64_t) { return 0.0; };
    call.Tensor("query", DType::kFloat16, {b, 1, 192}, one)
        .Tensor("key", DType::kFloat16, {1, 64, 192}, one)
        .Tensor("value", DType::kFloat16, {1, 64, 128}, one)
        .Tensor("block_table", DType::kInt32, {b, 1}, zero)
        .Set("scale_value", 0.1)
        .Set("head_num", 1)
        .Set("key_value_head_num", 1)
        .Set("select_block_size", 64)
        .Set("select_block_count", 1)
        .Set("page_block_size", 64)
        .Set("compress_block_size", 32)
        .Set("compress_stride", 16)
        .Set("actual_cmp_seq_kvlen", std::vector<int64_t>(count, 3))
        .Set("actual_sel_seq_kvlen", std::vector<int64_t>(count, 64));
    return call;
  };
  ExpectAllowedByStrict(shared(3072));
  ExpectRefusedByStrictAlone(shared(3073), "query");
  ExpectRefusedByStrictAlone(shared(0), "query");
}

TEST(NsaCompressAttentionInfer, StrictTakesStepsOf1To4TokensWithinTheirLengths) {
  Allow([](Shape& s) { s.queries = {4}; });
  Allow([](Shape& s) { s.queries = {4}, s.bsnd = true; });
  Allow([](Shape& s) { s.queries = {1, 4}, s.keys = {61, 5}, s.tokens = {992, 96}; });
  Refuse([](Shape& s) { s.queries = {5}; }, "query");
  Refuse([](Shape& s) { s.queries = {0}; }, "query");
  // The S axis counts, padding included.
  Allow([](Shape& s) { s.queries = {1}, s.bsnd = true, s.padded_len = 4; });
  Refuse([](Shape& s) { s.queries = {1}, s.bsnd = true, s.padded_len = 5; }, "query");
  // Windows of 2 tokens every token: 3 tokens have 2, and no room for a step of 4.
  const auto tiny = [](int64_t step) {
    return [=](Shape& s) {
      s.block = 2, s.stride = 1, s.select = 16, s.count = 1;
      s.keys = {2, 40}, s.tokens = {3, 41}, s.queries = {step, 1};
    };
  };
  Allow(tiny(3));
  Refuse(tiny(4), "actual_seq_qlen[0]");
}

// Their lengths are the document's condition for steps of several tokens.
TEST(NsaCompressAttentionInfer, StrictWantsRawLengthsForStepsOfSeveralTokens) {
  const auto several = [](Shape& s) { s.queries = {2}, s.tokens = {}; };
  Refuse(several, "actual_sel_seq_kvlen");
  Allow([](Shape& s) { s.tokens = {}; });
  Allow([](Shape& s) { s.queries = {1}, s.tokens = {}; });
  // One token is taken as it comes.
  Allow([](Shape& s) { s.keys = {61, 3}, s.tokens = {992, 0}; });
}

TEST(NsaCompressAttentionInfer, StrictBoundsTheBlocksByTheLongestSequenceAlone) {
  // 15 blocks of 64 are 960 tokens of 992; the short sequence has one candidate.
  const auto with = [](int64_t count, std::vector<int64_t> keys, std::vector<int64_t> tokens) {
    return [=](Shape& s) { s.count = count, s.keys = keys, s.tokens = tokens; };
  };
  Allow(with(15, {61, 1}, {992, 32}));
  Refuse(with(16, {61, 1}, {992, 32}), "select_block_count");
  Allow(with(16, {1, 63}, {32, 1024}));
  // Without the raw lengths the keys say how long the longest sequence can be: 61 windows end at
  // token 992, and 15 tokens more make no other.
  Allow(with(15, {61, 1}, {}));
  Refuse(with(16, {61, 1}, {}), "select_block_count");
  Refuse(with(16, {62, 1}, {}), "select_block_count");
  Allow(with(16, {63, 1}, {}));
}

TEST(NsaCompressAttentionInfer, StrictTakesSelectBlocksOf16To128) {
  for (const int64_t select : {16, 48, 128}) Allow([=](Shape& s) { s.select = select; });
  Refuse([](Shape& s) { s.select = 144; }, "select_block_size");
  Refuse([](Shape& s) { s.select = 72, s.stride = 8; }, "select_block_size");
  // The document leaves the compression free.
  Allow([](Shape& s) { s.block = 5, s.stride = 2, s.tokens = {}, s.count = 1; });
  Allow([](Shape& s) { s.block = 48, s.stride = 32, s.tokens = {}; });
}

TEST(NsaCompressAttentionInfer, StrictRefusesASequenceWithoutKeys) {
  Refuse([](Shape& s) { s.keys = {61, 0}, s.tokens = {992, 31}; }, "actual_cmp_seq_kvlen");
}

TEST(NsaCompressAttentionInfer, StrictKeepsToWhatTheDocumentsCallCanSay) {
  ExpectRefusedByStrictAlone(Changed(With("importance", "exact_overlap")), "importance");
  ExpectRefusedByStrictAlone(Changed(With("masked_rows", "zero")), "masked_rows");
  ExpectRefusedByStrictAlone(Changed(With("selection", "causal")), "selection");
  ExpectAllowedByStrict(Changed(With("accuracy", "fp32")));
}

// The document does not ask for contiguous tensors.
TEST(NsaCompressAttentionInfer, StrictTakesStridedTensors) {
  for (const char* name : {"query", "key", "value", "block_table"})
    ExpectAllowedByStrict(Changed(Spread(name), [](Shape& s) { s.queries = {2}; }));
}

}  // namespace
}  // namespace tamis::test::decoding
