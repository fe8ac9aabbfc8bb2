// What document 004 prints, wide and strict.
#include <gtest/gtest.h>

#include <functional>

#include "ops/sparse_flash_attention/test_calls.h"

namespace tamis::test::attention {
namespace {

using Edit = std::function<void(Shape&)>;

// A call that the document allows, after `edit`.
TestCall Allowed(const Edit& edit = [](Shape&) {}) {
  Shape s;
  s.keys = Keys::kPaged;
  s.latent = 512;
  s.rope = 64;
  s.value = true;
  s.statistics = false;
  edit(s);
  return Attention(s, 116);
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

TEST(SparseFlashAttention, StrictTakesTheDocumentsLayouts) {
  Allow([](Shape&) {});
  Allow([](Shape& s) { s.keys = Keys::kBsnd; });
  Allow([](Shape& s) { s.tnd = true, s.q = {2, 3}, s.n = {9, 40}; });
  Allow([](Shape& s) { s.tnd = true, s.padding = 2; });
  Refuse([](Shape& s) { s.tnd = true, s.keys = Keys::kTnd; }, "layout_kv");
}

// In wide mode, too: there is no telling whose keys are whose.
TEST(SparseFlashAttention, PackedQueriesOverPaddedKeysAreRefusedWideAndStrict) {
  for (const bool strict : {false, true}) {
    TestCall call = Allowed([](Shape& s) { s.tnd = true; });
    call.Set("strict", strict);
    ExpectRefusedAfter(
        call,
        [](TestCall& c) {
          Without("block_table")(c);
          Filled("key", DType::kBFloat16, {1, 40, 1, 512})(c);
          Filled("value", DType::kBFloat16, {1, 40, 1, 512})(c);
          Filled("key_rope", DType::kBFloat16, {1, 40, 1, 64})(c);
          c.Set("layout_kv", "BSND");
        },
        "layout_kv");
  }
}

TEST(SparseFlashAttention, StrictTakesBfloat16AndInt32) {
  Refuse([](Shape& s) { s.dtype = DType::kFloat16; }, "query");
  Refuse([](Shape& s) { s.lengths = DType::kInt64; }, "actual_seq_lengths_query");
  ExpectRefusedByStrictAlone(Changed(Listed("actual_seq_lengths_kv", DType::kInt64, {40})),
                             "actual_seq_lengths_kv");
}

TEST(SparseFlashAttention, StrictTakesHeadsOfPowersOf2UpTo128) {
  for (int64_t heads = 1; heads <= 128; heads *= 2) Allow([=](Shape& s) { s.heads = heads; });
  for (const int64_t heads : {3, 24, 256}) Refuse([=](Shape& s) { s.heads = heads; }, "query");
}

TEST(SparseFlashAttention, StrictTakesTheDocumentsDims) {
  Refuse([](Shape& s) { s.latent = 256; }, "query");
  Refuse([](Shape& s) { s.rope = 32; }, "query_rope");
  Allow([](Shape& s) { s.rope = -1; });  // both ropes are optional
}

TEST(SparseFlashAttention, StrictTakesPagesOfMultiplesOf16UpTo1024) {
  for (const int64_t page : {16, 48, 1024}) Allow([=](Shape& s) { s.page = page; });
  Refuse([](Shape& s) { s.page = 24; }, "key");
  Refuse([](Shape& s) { s.page = 1040; }, "key");
}

TEST(SparseFlashAttention, StrictWantsBlocksThatDivideThePage) {
  for (const int64_t block : {1, 2, 3, 16, 48})
    Allow([=](Shape& s) { s.page = 48, s.block = block; });
  Refuse([](Shape& s) { s.block = 5; }, "sparse_block_size");
  Refuse([](Shape& s) { s.block = 32; }, "sparse_block_size");
  Allow([](Shape& s) { s.keys = Keys::kBsnd, s.block = 5; });  // no pages
}

TEST(SparseFlashAttention, StrictWantsTheDocumentsTensorsContiguous) {
  for (const char* name : {"query", "key", "value", "sparse_indices", "query_rope", "key_rope"}) {
    // Several tokens, heads and pages: every gap is a stride.
    ExpectRefusedByStrictAlone(Changed(Spread(name),
                                       [](Shape& s) {
                                         s.q = {2, 2}, s.n = {40, 9};
                                       }),
                               name);
  }
  ExpectAllowedByStrict(Changed(Spread("block_table"), [](Shape& s) {
    s.q = {2, 2}, s.n = {40, 9};
  }));
}

TEST(SparseFlashAttention, StrictWantsAValueButNotTheKey) {
  Refuse([](Shape& s) { s.value = false; }, "value");
  TestCall call = Allowed();
  call.View("value", call.view("key"));
  ExpectAllowedByStrict(call);
}

TEST(SparseFlashAttention, StrictWantsALengthForEverySequence) {
  const auto two = [](Shape& s) { s.q = {2, 2}, s.n = {9, 9}; };
  Allow(two);
  ExpectRefusedByStrictAlone(Changed(Listed("actual_seq_lengths_kv", DType::kInt32, {9}), two),
                             "actual_seq_lengths_kv");
  ExpectRefusedByStrictAlone(Changed(Listed("actual_seq_lengths_query", DType::kInt32, {2}), two),
                             "actual_seq_lengths_query");
  // Absent: all of the S axis.
  ExpectAllowedByStrict(Changed(Without("actual_seq_lengths_query"), two));
  const auto padded = [](Shape& s) { s.keys = Keys::kBsnd; };
  ExpectAllowedByStrict(Changed(Without("actual_seq_lengths_kv"), padded));
}

TEST(SparseFlashAttention, StrictWantsATableForTheLongestSequence) {
  // The longest one has no queries in this call, so nobody reads its entries.
  const auto idle = [](Shape& s) { s.q = {2, 0}, s.n = {40, 70}; };
  Allow(idle);
  ExpectRefusedByStrictAlone(Changed(
                                 [](TestCall& call) {
                                   const TensorView& table = call.view("block_table");
                                   const auto* pages = static_cast<const int32_t*>(table.data);
                                   const int64_t width = table.shape[1];
                                   call.Tensor(
                                       "block_table", DType::kInt32, {2, 4},
                                       [=](int64_t i) { return i < 3 ? pages[i % width] : -1.0; });
                                 },
                                 idle),
                             "block_table");
}

TEST(SparseFlashAttention, StrictTakesBothMasks) {
  Allow([](Shape& s) { s.mode = 0; });
  Allow([](Shape& s) { s.mode = 3; });
}

TEST(SparseFlashAttention, StrictTakesNoEmptyCall) {
  Refuse([](Shape& s) { s.q = {0}; }, "query");
}

TEST(SparseFlashAttention, StrictKeepsToWhatTheDocumentsCallCanSay) {
  Refuse([](Shape& s) { s.sinks = true; }, "sinks");
  Refuse([](Shape& s) { s.statistics = true; }, "return_softmax_lse");
  const auto bytes = [](Shape& s) { s.format = Format::kCann; };
  const auto key_is_value = [](TestCall& call) { call.View("value", call.view("key")); };
  ExpectRefusedByStrictAlone(Changed(key_is_value, bytes), "kv_format");
  ExpectAllowedByStrict(Changed(With("accuracy", "fp32")));
}

}  // namespace
}  // namespace tamis::test::attention
