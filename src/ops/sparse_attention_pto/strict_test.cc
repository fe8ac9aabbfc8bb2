// What document 003 prints, wide and strict.
#include <gtest/gtest.h>

#include "ops/sparse_attention_pto/test_calls.h"

namespace tamis::sparse_attention_pto {
namespace {

using test::Change;
using test::ExpectAllowedByStrict;
using test::ExpectRefusedByStrictAlone;
using test::TestCall;
using test::With;

// A call that the document allows, after `change`.
TestCall Allowed(
    const Shape& s, const Change& change = [](TestCall&) {}) {
  TestCall call = Fused(s, 1909);
  call.Set("sparse_count", 2048);
  change(call);
  return call;
}

TEST(SparseAttentionPto, StrictTakesBfloat16AndInt32) {
  Shape s;
  ExpectAllowedByStrict(Allowed(s));
  s.dtype = DType::kFloat16;
  ExpectRefusedByStrictAlone(Allowed(s), "x");
}

// The document's "bfloat16" for these three cannot be meant: neither 2^15 slots nor 300 positions
// are bfloat16 numbers apart from each other.
TEST(SparseAttentionPto, StrictTakesIntegersOf32Bits) {
  for (const char* name : {"cache_index", "act_seqs"}) {
    const auto wider = [=](TestCall& call) {
      const TensorView view = call.view(name);
      const auto* integers = static_cast<const int32_t*>(view.data);
      call.Tensor(name, DType::kInt64, std::vector<int64_t>(view.shape, view.shape + view.rank),
                  [=](int64_t i) { return static_cast<double>(integers[i]); });
    };
    ExpectRefusedByStrictAlone(Allowed({}, wider), name);
  }
  for (const char* name : {"cache_index", "act_seqs", "block_table"}) {
    for (const bool strict : {false, true}) {
      const auto as_printed = [=](TestCall& call) {
        const TensorView view = call.view(name);
        test::Filled(name, DType::kBFloat16, {view.shape, view.shape + view.rank})(call);
      };
      test::ExpectRefusedAfter(Allowed({}, With("strict", strict)), as_printed, name);
    }
  }
}

TEST(SparseAttentionPto, StrictWantsEveryTensorContiguous) {
  for (const char* name : kTensors) {
    const bool list = Allowed({}).view(name).rank == 1;
    if (!list) {
      ExpectRefusedByStrictAlone(Allowed({}, test::Spread(name)), name);
      continue;
    }
    for (const bool strict :
         {false, true}) {  // lists have but one dimension, which none may stride
      const auto every_other = [=](TestCall& call) {
        TensorView view = call.view(name);
        view.strides[0] = 2;
        call.View(name, view);
      };
      test::ExpectRefusedAfter(Allowed({}, With("strict", strict)), every_other, name);
    }
  }
}

TEST(SparseAttentionPto, StrictTakesNoEmptyCall) {
  Shape no_token;
  no_token.tokens = 0;
  ExpectRefusedByStrictAlone(Allowed(no_token), "x");
  Shape no_sequence;
  no_sequence.lengths = {};
  ExpectRefusedByStrictAlone(Allowed(no_sequence), "x");
}

TEST(SparseAttentionPto, StrictKeepsToWhatTheDocumentsCallCanSay) {
  ExpectRefusedByStrictAlone(Allowed({}, With("scale_value", 0.135234)), "scale_value");
  for (const char* name : {"epsilon_cq", "epsilon_ckv", "epsilon_k"})
    ExpectRefusedByStrictAlone(Allowed({}, With(name, 2e-6)), name);
  ExpectRefusedByStrictAlone(Allowed({}, With("rope_interleaved", false)), "rope_interleaved");
  ExpectRefusedByStrictAlone(Allowed({}, With("sparse_count", 1024)), "sparse_count");
  ExpectAllowedByStrict(Allowed({}, With("accuracy", "fp32")));
}

// How the bytes lie is said by weight_format, strict or not: what a device calls NZ may be held
// either way here.
TEST(SparseAttentionPto, StrictReadsTheWeightsInBothFormats) {
  Shape s;
  s.hidden = 32;
  s.norm = 16;
  s.heads = 2;
  s.nope = 10;
  s.latent = 26;
  s.index_heads = 16;
  s.index_dim = 16;
  for (const char* format : {"ND", "NZ"})
    ExpectAllowedByStrict(Allowed(s, With("weight_format", format)));
}

}  // namespace
}  // namespace tamis::sparse_attention_pto
