// What is wrong with a call is said in the first stage: 161001 for what is absent, 161002 for the
// rest, and a line that names the argument as the device's call does.
#include "aclnnop/aclnn_kv_quant_sparse_flash_attention.h"
#include "aclnnop/aclnn_lightning_indexer.h"
#include "aclnnop/aclnn_mla_prolog_v3_weight_nz.h"
#include "aclnnop/aclnn_nsa_compress_attention.h"
#include "aclnnop/aclnn_nsa_compress_attention_infer.h"
#include "aclnnop/aclnn_nsa_selected_attention.h"
#include "aclnnop/aclnn_nsa_selected_attention_infer.h"
#include "aclnnop/aclnn_sparse_flash_attention.h"
#include "checks.h"

namespace {

constexpr int kNull = 161001;
constexpr int kInvalid = 161002;
constexpr int64_t kAll = INT64_MAX;

void ExpectNothingGiven(uint64_t size, const aclOpExecutor* executor, const char* what) {
  Expect(size == 0 && executor == nullptr, std::string(what) + " that fails gives no executor");
}

// A fine call of aclnnNsaCompress, but for what a test changes.
struct Compress {
  Tensor input{{6, 1, 16}, ACL_FLOAT16, 1}, weight{{2, 1}, ACL_FLOAT16, 2};
  Tensor output{{3, 1, 16}, ACL_FLOAT16, 0};
  Ints lengths{{6}};
  const aclTensor* in = input.acl;
  const aclTensor* w = weight.acl;
  const aclTensor* out = output.acl;
  const aclIntArray* prefix = lengths.acl;
  const char* layout = "TND";
  int64_t block = 2, type = 0;
  uint64_t size = 7;
  aclOpExecutor* executor = nullptr;

  int Plan() {
    return aclnnNsaCompressGetWorkspaceSize(in, w, prefix, const_cast<char*>(layout), block, 2,
                                            type, const_cast<aclTensor*>(out), &size, &executor);
  }
  template <typename Change>
  static void Refused(int code, const char* argument, Change change, const char* line = "") {
    Compress call;
    change(call);
    ExpectRefused(call.Plan(), code, argument, line);
    ExpectNothingGiven(call.size, call.executor, "aclnnNsaCompress");
  }
};

void CheckCompress() {
  Compress::Refused(
      kNull, "input", [](Compress& c) { c.in = nullptr; }, "input: required, but absent");
  Compress::Refused(kNull, "weight", [](Compress& c) { c.w = nullptr; });
  Compress::Refused(kNull, "output", [](Compress& c) { c.out = nullptr; });
  Compress::Refused(
      kNull, "actSeqLenOptional", [](Compress& c) { c.prefix = nullptr; },
      "actSeqLenOptional: required, but absent");
  Compress::Refused(kInvalid, "layoutOptional", [](Compress& c) { c.layout = "BSH"; });
  Compress::Refused(
      kInvalid, "weight", [](Compress& c) { c.block = 4; },
      "weight: expected shape [compressBlockSize = 4, heads N = 1], got [2, 1]");
  Compress::Refused(kInvalid, "actSeqLenType", [](Compress& c) { c.type = 2; });
  Compress::Refused(kInvalid, "output", [](Compress& c) { c.out = c.weight.acl; });
  Compress::Refused(
      kInvalid, "input", [](Compress& c) { c.input.acl->dtype = ACL_INT16; },
      "input: expected float16, bfloat16, float, double, bool or an integer of 8, 32 "
      "or 64 bits, got aclDataType 6");
  Compress::Refused(kInvalid, "input", [](Compress& c) { c.input.acl->dtype = ACL_INT32; });
  Compress::Refused(
      kInvalid, "weight", [](Compress& c) { c.weight.acl->format = ACL_FORMAT_FRACTAL_NZ; },
      "weight: expected format ND, 2, got 29");
  Compress::Refused(kNull, "input", [](Compress& c) { c.input.acl->data = nullptr; });
  Compress::Refused(kInvalid, "input", [](Compress& c) { c.input.acl->strides[2] = 2; });

  Compress call;
  ExpectRefused(aclnnNsaCompressGetWorkspaceSize(call.in, call.w, call.prefix, nullptr, 2, 2, 0,
                                                 call.output.acl, nullptr, &call.executor),
                kNull, "workspaceSize");
  ExpectRefused(aclnnNsaCompressGetWorkspaceSize(call.in, call.w, call.prefix, nullptr, 2, 2, 0,
                                                 call.output.acl, &call.size, nullptr),
                kNull, "executor");
  // The first complaint stands.
  ExpectRefused(aclnnNsaCompressGetWorkspaceSize(nullptr, nullptr, nullptr, nullptr, 0, 0, 9,
                                                 nullptr, nullptr, nullptr),
                kNull, "input");
  ExpectRefused(aclnnNsaCompress(nullptr, 0, nullptr, nullptr), kNull, "executor");
}

struct Attention {
  Tensor query{{4, 2, 32}, ACL_FLOAT16, 1}, key{{6, 1, 32}, ACL_FLOAT16, 2};
  Tensor maximum{{4, 2, 8}, ACL_FLOAT, 0}, sum{{4, 2, 8}, ACL_FLOAT, 0};
  Tensor out{{4, 2, 32}, ACL_FLOAT16, 0}, best{{4, 1, 2}, ACL_INT32, 0};
  Ints q_lengths{{4}}, kv_lengths{{6}};
  const aclTensor *q = query.acl, *k = key.acl, *v = key.acl, *mx = maximum.acl, *su = sum.acl,
                  *o = out.acl, *ti = best.acl;
  const aclIntArray *ql = q_lengths.acl, *kl = kv_lengths.acl;
  const char* layout = "TND";
  int64_t heads = 2, mode = 0;
  uint64_t size = 7;
  aclOpExecutor* executor = nullptr;

  int Plan() {
    return aclnnNsaCompressAttentionGetWorkspaceSize(
        q, k, v, nullptr, nullptr, ql, kl, nullptr, 1.0, heads, const_cast<char*>(layout), mode, 32,
        16, 32, 2, mx, su, o, ti, &size, &executor);
  }
  template <typename Change>
  static void Refused(int code, const char* argument, Change change, const char* line = "") {
    Attention call;
    change(call);
    ExpectRefused(call.Plan(), code, argument, line);
    ExpectNothingGiven(call.size, call.executor, "aclnnNsaCompressAttention");
  }
};

void CheckAttention() {
  using Call = Attention;
  Call::Refused(kNull, "query", [](Call& c) { c.q = nullptr; });
  Call::Refused(kNull, "key", [](Call& c) { c.k = nullptr; });
  Call::Refused(kNull, "value", [](Call& c) { c.v = nullptr; });
  Call::Refused(kNull, "softmaxMaxOut", [](Call& c) { c.mx = nullptr; });
  Call::Refused(kNull, "softmaxSumOut", [](Call& c) { c.su = nullptr; });
  Call::Refused(kNull, "attentionOutOut", [](Call& c) { c.o = nullptr; });
  Call::Refused(kNull, "topkIndicesOut", [](Call& c) { c.ti = nullptr; });
  Call::Refused(kNull, "inputLayout", [](Call& c) { c.layout = nullptr; });
  Call::Refused(kNull, "actualSeqQLenOptional", [](Call& c) { c.ql = nullptr; });
  Call::Refused(kNull, "actualCmpSeqKvLenOptional", [](Call& c) { c.kl = nullptr; });
  Call::Refused(
      kInvalid, "inputLayout", [](Call& c) { c.layout = "BSND"; },
      "inputLayout: expected TND, got BSND");
  Call::Refused(
      kInvalid, "sparseMode", [](Call& c) { c.mode = 3; }, "sparseMode: expected 0 or 1, got 3");
  Call::Refused(kInvalid, "headNum", [](Call& c) { c.heads = 0; });
  Call::Refused(
      kInvalid, "softmaxMaxOut", [](Call& c) { c.maximum.acl->shape[2] = 1; },
      "softmaxMaxOut: expected dense float [4, 2, 8], got another tensor");
  Call::Refused(kInvalid, "softmaxSumOut", [](Call& c) { c.sum.acl->strides[1] = 16; });
  Call::Refused(kInvalid, "softmaxSumOut", [](Call& c) { c.sum.acl->dtype = ACL_INT32; });
  Call::Refused(kNull, "softmaxSumOut", [](Call& c) { c.sum.acl->data = nullptr; });
  Call::Refused(kInvalid, "query", [](Call& c) { c.query.acl->rank = 2; });
  // Prefix sums that do not fit are found before anything is laid down by them.
  for (const int64_t wrong : {int64_t{-1}, int64_t{3}, int64_t{5}, INT64_MAX, INT64_MIN}) {
    Call call;
    const Ints lengths({wrong});
    call.ql = lengths.acl;
    ExpectRefused(call.Plan(), kInvalid, "actualSeqQLenOptional");
  }
  Call call;
  call.query.acl->shape[0] = call.query.acl->shape[1] = INT64_MAX / 2;
  call.maximum.acl->shape[0] = call.maximum.acl->shape[1] = INT64_MAX / 2;
  call.query.acl->strides[0] = call.query.acl->strides[1] = 0;
  Expect(call.Plan() != ACLNN_SUCCESS && aclGetRecentErrMsg() != nullptr,
         "absurd sizes are refused");
}

// Stage two: a workspace that is absent or small is refused, and the executor is taken all the
// same.
void CheckWorkspace() {
  for (const bool is_null : {true, false}) {
    Attention call;
    Expect(call.Plan() == ACLNN_SUCCESS, "the call is fine");
    Expect(call.size > 64, "the call needs a workspace");
    void* workspace = nullptr;
    aclrtMalloc(&workspace, call.size, ACL_MEM_MALLOC_HUGE_FIRST);
    ExpectRefused(
        aclnnNsaCompressAttention(is_null ? nullptr : workspace,
                                  is_null ? call.size : call.size - 1, call.executor, nullptr),
        is_null ? kNull : kInvalid, "workspace");
    aclrtFree(workspace);
  }
}

void CheckInfer() {
  const Tensor query({1, 2, 32}, ACL_FLOAT16, 1), pages({1, 16, 32}, ACL_FLOAT16, 2);
  const Tensor table({1, 1}, {0}), out({1, 2, 32}, ACL_FLOAT16, 0), best({1, 1, 2}, ACL_INT32, 0);
  const Ints lengths({9});
  char tnd[] = "TND", bnsd[] = "BNSD";
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const auto plan = [&](const aclTensor* q, const aclTensor* k, const aclTensor* v,
                        const aclTensor* t, const aclIntArray* n, char* layout, int64_t heads,
                        const aclTensor* o, const aclTensor* b) {
    return aclnnNsaCompressAttentionInferGetWorkspaceSize(q, k, v, nullptr, t, nullptr, n, nullptr,
                                                          nullptr, heads, 1, 64, 2, 32, 16, 1.0,
                                                          layout, 16, 0, o, b, &size, &executor);
  };
  const aclTensor *q = query.acl, *k = pages.acl, *t = table.acl, *o = out.acl, *b = best.acl;
  const aclIntArray* n = lengths.acl;
  ExpectRefused(plan(nullptr, k, k, t, n, tnd, 2, o, b), kNull, "query");
  ExpectRefused(plan(q, nullptr, k, t, n, tnd, 2, o, b), kNull, "key");
  ExpectRefused(plan(q, k, nullptr, t, n, tnd, 2, o, b), kNull, "value");
  ExpectRefused(plan(q, k, k, nullptr, n, tnd, 2, o, b), kNull, "blockTableOptional");
  ExpectRefused(plan(q, k, k, t, nullptr, tnd, 2, o, b), kNull, "actualCmpKvSeqLenOptional");
  ExpectRefused(plan(q, k, k, t, n, nullptr, 2, o, b), kNull, "layoutOptional");
  ExpectRefused(plan(q, k, k, t, n, bnsd, 2, o, b), kInvalid, "layoutOptional");
  ExpectRefused(plan(q, k, k, t, n, tnd, -2, o, b), kInvalid, "numHeads");
  ExpectRefused(plan(q, k, k, t, n, tnd, 2, nullptr, b), kNull, "output");
  ExpectRefused(plan(q, k, k, t, n, tnd, 2, o, nullptr), kNull, "topKOutput");
  ExpectNothingGiven(size, executor, "aclnnNsaCompressAttentionInfer");
}

void CheckSelectedAttention() {
  const Tensor query({2, 2, 32}, ACL_FLOAT16, 1), key({8, 1, 32}, ACL_FLOAT16, 2);
  const Tensor lists({2, 1, 2}, {0, 1, 1, 0}), out({2, 2, 32}, ACL_FLOAT16, 0);
  const Tensor maximum({2, 2, 8}, ACL_FLOAT, 0), sum({2, 2, 8}, ACL_FLOAT, 0);
  const Tensor narrow({2, 2, 1}, ACL_FLOAT, 0);
  const Ints q_lengths({2}), kv_lengths({8});
  char tnd[] = "TND", bsnd[] = "BSND";
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const auto plan = [&](const aclTensor* ids, const aclIntArray* n, char* layout, int64_t mode,
                        int64_t block, int64_t count, const aclTensor* mx, const aclTensor* su,
                        const aclTensor* o) {
    return aclnnNsaSelectedAttentionGetWorkspaceSize(query.acl, key.acl, key.acl, ids, nullptr,
                                                     q_lengths.acl, n, 1.0, 2, layout, mode, block,
                                                     count, mx, su, o, &size, &executor);
  };
  const aclTensor *i = lists.acl, *mx = maximum.acl, *su = sum.acl, *o = out.acl;
  const aclIntArray* n = kv_lengths.acl;
  ExpectRefused(plan(nullptr, n, tnd, 2, 4, 2, mx, su, o), kNull, "topkIndices");
  ExpectRefused(plan(i, nullptr, tnd, 2, 4, 2, mx, su, o), kNull, "actualSeqKvLenOptional");
  ExpectRefused(plan(i, n, nullptr, 2, 4, 2, mx, su, o), kNull, "inputLayout");
  ExpectRefused(plan(i, n, bsnd, 2, 4, 2, mx, su, o), kInvalid, "inputLayout",
                "inputLayout: expected TND, got BSND");
  ExpectRefused(plan(i, n, tnd, 3, 4, 2, mx, su, o), kInvalid, "sparseMode",
                "sparseMode: expected 0 or 2, got 3");
  ExpectRefused(plan(i, n, tnd, 2, 0, 2, mx, su, o), kInvalid, "selectedBlockSize");
  ExpectRefused(plan(i, n, tnd, 2, 4, 3, mx, su, o), kInvalid, "selectedBlockCount");
  ExpectRefused(plan(i, n, tnd, 2, 4, 2, nullptr, su, o), kNull, "softmaxMaxOut");
  ExpectRefused(plan(i, n, tnd, 2, 4, 2, mx, narrow.acl, o), kInvalid, "softmaxSumOut",
                "softmaxSumOut: expected dense float [2, 2, 8], got another tensor");
  ExpectRefused(plan(i, n, tnd, 2, 4, 2, mx, su, nullptr), kNull, "attentionOut");
  ExpectNothingGiven(size, executor, "aclnnNsaSelectedAttention");
}

void CheckSelectedAttentionInfer() {
  const Tensor query({1, 1, 2, 32}, ACL_FLOAT16, 1), rows({1, 1, 64}, ACL_FLOAT16, 1);
  const Tensor pages({1, 16, 2, 32}, ACL_FLOAT16, 2), flat({1, 16, 64}, ACL_FLOAT16, 2);
  const Tensor lists({1, 2, 1}, {0, 0}), table({1, 1}, {0}), out({1, 1, 2, 32}, ACL_FLOAT16, 0);
  const Ints lengths({9});
  char bsnd[] = "BSND", bsh[] = "BSH", bnsd[] = "BNSD";
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const auto plan = [&](const aclTensor* q, const aclTensor* k, const aclTensor* t, char* layout,
                        int64_t heads, int64_t kv_heads, const aclTensor* o) {
    return aclnnNsaSelectedAttentionInferGetWorkspaceSize(q, k, k, lists.acl, nullptr, t, nullptr,
                                                          lengths.acl, layout, heads, kv_heads, 16,
                                                          1, 16, 1.0, 0, o, &size, &executor);
  };
  const aclTensor *q = query.acl, *k = pages.acl, *t = table.acl, *o = out.acl;
  ExpectRefused(plan(nullptr, k, t, bsnd, 2, 2, o), kNull, "query");
  ExpectRefused(plan(q, nullptr, t, bsnd, 2, 2, o), kNull, "key");
  ExpectRefused(plan(q, k, nullptr, bsnd, 2, 2, o), kNull, "blockTableOptional");
  ExpectRefused(plan(q, k, t, nullptr, 2, 2, o), kNull, "layoutOptional");
  ExpectRefused(plan(q, k, t, bsnd, 2, 2, nullptr), kNull, "output");
  ExpectRefused(plan(q, k, t, bnsd, 2, 2, o), kInvalid, "layoutOptional",
                "layoutOptional: expected BSH, BSND or TND, got BNSD");
  ExpectRefused(plan(q, k, t, bsnd, 3, 2, o), kInvalid, "numHeads");
  ExpectRefused(plan(q, flat.acl, t, bsnd, 2, 2, o), kInvalid, "key",
                "key: expected shape [pages, pageBlockSize, numKeyValueHeads = 2, D], "
                "got [1, 16, 64]");
  for (const int64_t heads : {int64_t{0}, int64_t{1}, INT64_MIN, INT64_MAX}) {
    ExpectRefused(plan(q, k, t, bsnd, 2, heads, o), kInvalid, "key");
  }
  ExpectRefused(plan(q, flat.acl, t, bsh, 2, 2, o), kInvalid, "query",
                "query: expected shape [B, S, numHeads*D] of numHeads = 2, got [1, 1, 2, 32]");
  ExpectRefused(plan(rows.acl, flat.acl, t, bsh, 2, 2, o), kInvalid, "output");
  ExpectRefused(plan(rows.acl, flat.acl, t, bsh, 3, 1, rows.acl), kInvalid, "query");
  ExpectRefused(plan(rows.acl, flat.acl, t, bsh, 0, 2, rows.acl), kInvalid, "numHeads",
                "numHeads: expected at least 1, got 0");
  pages.acl->strides[2] = 64;
  ExpectRefused(plan(q, k, t, bsnd, 2, 2, o), kInvalid, "key",
                "key: expected the heads of a row next to each other, got strides "
                "[1024, 64, 64, 1]");
  ExpectNothingGiven(size, executor, "aclnnNsaSelectedAttentionInfer");
}

void CheckIndexer() {
  const Tensor query({1, 2, 1, 64}, ACL_BF16, 1), weights({1, 2, 1}, ACL_BF16, 2);
  const Tensor indices({1, 2, 1, 4}, ACL_INT32, 0), scores({1, 2, 1, 4}, ACL_BF16, 0);
  char bsnd[] = "BSND", pages[] = "PA_BSND";
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const auto plan = [&](const aclTensor* w, char* layout, int64_t count, int64_t mode,
                        int64_t before, int64_t after, bool values, const aclTensor* i,
                        const aclTensor* s) {
    return aclnnLightningIndexerGetWorkspaceSize(query.acl, query.acl, w, nullptr, nullptr, nullptr,
                                                 bsnd, layout, count, mode, before, after, values,
                                                 i, s, &size, &executor);
  };
  const aclTensor *w = weights.acl, *i = indices.acl, *s = scores.acl;
  ExpectRefused(plan(nullptr, bsnd, 4, 3, kAll, kAll, true, i, s), kNull, "weights");
  ExpectRefused(plan(w, pages, 4, 3, kAll, kAll, true, i, s), kNull, "blockTableOptional");
  ExpectRefused(plan(w, bsnd, 5, 3, kAll, kAll, true, i, s), kInvalid, "sparseIndicesOut");
  ExpectRefused(plan(w, bsnd, 4, 1, kAll, kAll, true, i, s), kInvalid, "sparseMode");
  ExpectRefused(plan(w, bsnd, 4, 3, 128, kAll, true, i, s), kInvalid, "preTokens",
                "preTokens: expected 9223372036854775807, got 128");
  ExpectRefused(plan(w, bsnd, 4, 3, kAll, 0, true, i, s), kInvalid, "nextTokens");
  ExpectRefused(plan(w, bsnd, 4, 3, kAll, kAll, true, nullptr, s), kNull, "sparseIndicesOut");
  ExpectRefused(plan(w, bsnd, 4, 3, kAll, kAll, true, i, nullptr), kNull, "sparseValuesOut");
  Expect(plan(w, bsnd, 4, 3, kAll, kAll, false, i, nullptr) == ACLNN_SUCCESS,
         "scores that are not wanted may be absent");
  aclDestroyAclOpExecutor(executor);
}

void CheckSparseAttention() {
  const Tensor query({1, 1, 2, 32}, ACL_BF16, 1), key({1, 8, 1, 32}, ACL_BF16, 2);
  const Tensor indices({1, 1, 1, 2}, {0, 1}), out({1, 1, 2, 32}, ACL_BF16, 0);
  char bsnd[] = "BSND";
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const auto plan = [&](const aclTensor* k, const aclTensor* i, int64_t mode, bool statistics,
                        const aclTensor* rope, const aclTensor* o,
                        const aclTensor* maximum = nullptr, const aclTensor* sum = nullptr) {
    return aclnnSparseFlashAttentionGetWorkspaceSize(
        query.acl, k, nullptr, i, nullptr, nullptr, nullptr, rope, nullptr, 1.0, 1, bsnd, bsnd, 3,
        kAll, kAll, mode, statistics, o, maximum, sum, &size, &executor);
  };
  const aclTensor *k = key.acl, *i = indices.acl, *o = out.acl;
  ExpectRefused(plan(nullptr, i, 2, false, nullptr, o), kNull, "key");
  ExpectRefused(plan(k, nullptr, 2, false, nullptr, o), kNull, "sparseIndices");
  ExpectRefused(plan(k, i, 0, false, nullptr, o), kInvalid, "attentionMode",
                "attentionMode: expected 2, got 0");
  ExpectRefused(plan(k, i, 2, true, nullptr, o), kNull, "softmaxMax");
  const Tensor fits({1, 1, 1, 2}, ACL_FLOAT, 0), native({1, 1, 2}, ACL_FLOAT, 0);
  const Tensor heads({1, 2, 1, 1}, ACL_FLOAT, 0), halves({1, 1, 1, 2}, ACL_FLOAT16, 0);
  ExpectRefused(plan(k, i, 2, true, nullptr, o, native.acl, fits.acl), kInvalid, "softmaxMax",
                "softmaxMax: expected shape [1, 1, 1, 2], got [1, 1, 2]");
  ExpectRefused(plan(k, i, 2, true, nullptr, o, fits.acl, heads.acl), kInvalid, "softmaxSum",
                "softmaxSum: expected shape [1, 1, 1, 2], got [1, 2, 1, 1]");
  ExpectRefused(plan(k, i, 2, true, nullptr, o, halves.acl, fits.acl), kInvalid, "softmaxMax");
  ExpectRefused(plan(k, i, 2, true, nullptr, o, fits.acl), kNull, "softmaxSum");
  ExpectRefused(plan(k, i, 2, false, query.acl, o), kNull, "keyRopeOptional");
  ExpectRefused(plan(k, i, 2, false, nullptr, nullptr), kNull, "attentionOut");
  ExpectNothingGiven(size, executor, "aclnnSparseFlashAttention");
}

void CheckRows() {
  const Tensor query({1, 1, 2, 144}, ACL_BF16, 1), rows({1, 8, 1, 164}, ACL_INT8, 0),
      others({1, 8, 1, 164}, ACL_INT8, 0);
  const Tensor indices({1, 1, 1, 2}, {0, 1}), out({1, 1, 2, 128}, ACL_BF16, 0);
  char bsnd[] = "BSND";
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const auto plan = [&](const aclTensor* v, const aclTensor* scale, int64_t quant, int64_t rope) {
    return aclnnKvQuantSparseFlashAttentionGetWorkspaceSize(
        query.acl, rows.acl, v, indices.acl, scale, nullptr, nullptr, nullptr, nullptr, 1.0, quant,
        2, 1, bsnd, bsnd, 3, kAll, kAll, 2, 1, 128, rope, out.acl, &size, &executor);
  };
  ExpectRefused(plan(nullptr, nullptr, 2, 16), kNull, "value");
  ExpectRefused(plan(others.acl, nullptr, 2, 16), kInvalid, "value",
                "value: expected the rows of key, got memory of its own");
  ExpectRefused(plan(rows.acl, others.acl, 2, 16), kInvalid, "keyDequantScaleOptional");
  ExpectRefused(plan(rows.acl, nullptr, 0, 16), kInvalid, "keyQuantMode");
  for (const int64_t rope : {int64_t{0}, int64_t{144}, INT64_MIN, INT64_MAX}) {
    ExpectRefused(plan(rows.acl, nullptr, 2, rope), kInvalid, "ropeHeadDimOptional");
  }
  ExpectRefused(plan(rows.acl, nullptr, 2, 32), kInvalid, "query");
}

void CheckProlog() {
  const Tensor x({1, 64}, ACL_BF16, 1), w_dq({64, 32}, ACL_BF16, 2), w_uq_qr({32, 32}, ACL_BF16, 3);
  const Tensor w_uk({1, 16, 32}, ACL_BF16, 4), w_dkv_kr({64, 48}, ACL_BF16, 5);
  const Tensor gamma_cq({32}, ACL_BF16, 6), gamma_ckv({32}, ACL_BF16, 7), sin({1, 16}, ACL_BF16, 8);
  const Tensor slot({1}, {0}), kv({1, 4, 1, 32}, ACL_BF16, 0), kr({1, 4, 1, 16}, ACL_BF16, 0);
  const Tensor q({1, 1, 32}, ACL_BF16, 0), qr({1, 1, 16}, ACL_BF16, 0);
  char rows[] = "PA_BSND", nz[] = "PA_NZ";
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const auto plan = [&](const aclTensor* slots, const aclTensor* scale, char* mode, int64_t quant,
                        double factor, const aclTensor* out) {
    return aclnnMlaPrologV3WeightNzGetWorkspaceSize(
        x.acl, w_dq.acl, w_uq_qr.acl, w_uk.acl, w_dkv_kr.acl, gamma_cq.acl, gamma_ckv.acl, sin.acl,
        sin.acl, kv.acl, kr.acl, slots, scale, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
        nullptr, nullptr, 1e-5, 1e-5, mode, quant, 0, 0, 0, 0, 128, factor, 1.0, out, qr.acl,
        nullptr, nullptr, nullptr, &size, &executor);
  };
  ExpectRefused(plan(nullptr, nullptr, rows, 0, 1.0, q.acl), kNull, "cacheIndex");
  ExpectRefused(plan(slot.acl, x.acl, rows, 0, 1.0, q.acl), kInvalid, "dequantScaleXOptional");
  ExpectRefused(plan(slot.acl, nullptr, nz, 0, 1.0, q.acl), kInvalid, "cacheModeOptional",
                "cacheModeOptional: expected PA_BSND, got PA_NZ");
  ExpectRefused(plan(slot.acl, nullptr, rows, 1, 1.0, q.acl), kInvalid, "weightQuantMode");
  ExpectRefused(plan(slot.acl, nullptr, rows, 0, 2.0, q.acl), kInvalid, "qcQrScale",
                "qcQrScale: expected 1, got 2");
  ExpectRefused(plan(slot.acl, nullptr, rows, 0, 1.0, nullptr), kNull, "queryOut");
  w_uq_qr.acl->format = ACL_FORMAT_FRACTAL_NZ;
  ExpectRefused(plan(slot.acl, nullptr, rows, 0, 1.0, q.acl), kInvalid, "weightUqQr",
                "weightUqQr: expected the format of weightDq, ND, got NZ");
}

}  // namespace

void CheckRefusals() {
  CheckCompress();
  CheckAttention();
  CheckWorkspace();
  CheckInfer();
  CheckSelectedAttention();
  CheckSelectedAttentionInfer();
  CheckIndexer();
  CheckSparseAttention();
  CheckRows();
  CheckProlog();
}
