// dense_lightning_indexer_grad_kl_loss.
#include "ops/dense_lightning_indexer/test_calls.h"
#include "tamis/ops/dense_lightning_indexer_grad_kl_loss.hpp"
#include "tests/support/conformance.h"
#include "tests/support/levels.h"

namespace tamis::test::dense_indexer {
namespace {

constexpr const char* kGradients[] = {"query_index_grad", "key_index_grad", "weights_grad"};

Shape Packed(const Shape& of) {
  Shape s = of;
  s.tnd = true;
  s.keys = Keys::kTnd;
  return s;
}

TEST(DenseLightningIndexerGradKlLoss, LayoutsDtypesAndRaggedLengths) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (bool tnd : {false, true}) {
      for (int64_t mode : {0, 3}) {
        Shape s;
        s.dtype = dtype;
        if (tnd) s = Packed(s);
        s.q = {3, 40, 0, 1, 9};
        s.n = {40, 70, 9, 0, 4};
        s.mode = mode;
        s.padding = 2;
        s.gap = tnd ? 3 : 0;
        s.weights_float32 = mode == 0;
        s.scaled = tnd;
        s.rope = mode == 0 ? 0 : 5;
        SCOPED_TRACE(testing::Message() << "tnd " << tnd << ", mode " << mode);
        TestCall call = Calls(s, 500).Loss();
        ExpectConforms(call);
      }
    }
  }
}

TEST(DenseLightningIndexerGradKlLoss, AnyNumberOfHeadsAndDims) {
  struct Case {
    int64_t heads, kv_heads, dim, rope, index_heads, index_dim;
  };
  for (const Case& c :
       {Case{1, 1, 1, 0, 1, 1}, Case{4, 4, 33, 7, 5, 40}, Case{2, 1, 200, 64, 8, 16},
        Case{3, 1, 640, 0, 17, 24}, Case{2, 2, 16, 0, 2, 600}, Case{2, 1, 8, 0, 0, 8},
        Case{2, 1, 0, 0, 2, 0}}) {
    Shape s;
    s.heads = c.heads;
    s.kv_heads = c.kv_heads;
    s.dim = c.dim;
    s.rope = c.rope;
    s.index_heads = c.index_heads;
    s.index_dim = c.index_dim;
    s.q = {20, 5};
    s.n = {75, 3};
    SCOPED_TRACE(testing::Message() << c.heads << " heads, dims " << c.dim << ", " << c.index_dim);
    TestCall call = Calls(s, 510).Loss();
    ExpectConforms(call);
  }
}

}  // namespace
}  // namespace tamis::test::dense_indexer
