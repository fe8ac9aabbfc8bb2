// Every call against the same one of tamis.h, run by the float64 reference.
#include <cstring>

#include "aclnnop/aclnn_kv_quant_sparse_flash_attention.h"
#include "aclnnop/aclnn_kv_quant_sparse_flash_attention_v2.h"
#include "aclnnop/aclnn_lightning_indexer.h"
#include "aclnnop/aclnn_mla_prolog.h"
#include "aclnnop/aclnn_mla_prolog_v2_weight_nz.h"
#include "aclnnop/aclnn_mla_prolog_v3_weight_nz.h"
#include "aclnnop/aclnn_nsa_compress_attention.h"
#include "aclnnop/aclnn_nsa_compress_attention_infer.h"
#include "aclnnop/aclnn_nsa_selected_attention.h"
#include "aclnnop/aclnn_nsa_selected_attention_infer.h"
#include "aclnnop/aclnn_sparse_flash_attention.h"
#include "aclnnop/aclnn_sparse_flash_attention_v2.h"
#include "checks.h"

namespace {

constexpr int64_t kAll = INT64_MAX;

char* Text(const char* text) { return const_cast<char*>(text); }  // as the device's calls have it

void NsaCompress(aclDataType dtype) {
  const Tensor input({50, 3, 32}, dtype, 1), weight({32, 3}, dtype, 2);
  const Tensor output({2, 3, 32}, dtype, 0), expected({2, 3, 32}, dtype, 0);
  const Ints lengths({34, 50});  // 2 windows, and none of 16 tokens
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const int status = aclnnNsaCompressGetWorkspaceSize(
      input.acl, weight.acl, lengths.acl, Text("TND"), 32, 2, 0, output.acl, &size, &executor);
  Run("aclnnNsaCompress", status, aclnnNsaCompress, size, executor);

  tamis_nsa_compress_params params;
  tamis_plan* plan = nullptr;
  tamis_nsa_compress_params_init(&params);
  params.input = input.View();
  params.weight = weight.View();
  params.output = expected.View();
  params.act_seq_len = lengths.View();
  params.compress_block_size = 32;
  params.compress_stride = 2;
  RunReference("nsa_compress", tamis_nsa_compress_plan(Reference(), &params, &plan), &plan);
  ExpectEqual("nsa_compress", output, expected);
}

void NsaCompressAttention(bool masks) {
  const aclDataType dtype = masks ? ACL_BF16 : ACL_FLOAT16;
  const int64_t tokens = 90, heads = 4, keys = 12, blocks = 3;
  const Tensor query({tokens, heads, 64}, dtype, 3), key({keys, 2, 64}, dtype, 4),
      value({keys, 2, 32}, dtype, 5);
  const Tensor hidden({50, 7}, ACL_BOOL, 0), chosen({50, 4}, ACL_UINT8, 0);
  std::memset(static_cast<char*>(hidden.memory) + 6, 1, 3);  // keys 6 of token 0, 0 and 1 of 1
  std::memset(static_cast<char*>(chosen.memory) + 7, 1, 1);  // block 3 of token 1
  const Tensor out({tokens, heads, 32}, dtype, 0), expected({tokens, heads, 32}, dtype, 0);
  const Tensor best({tokens, 2, blocks}, ACL_INT32, 0),
      best_expected({tokens, 2, blocks}, ACL_INT32, 0);
  const Tensor maximum({tokens, heads, 8}, ACL_FLOAT, 0), sum({tokens, heads, 8}, ACL_FLOAT, 0);
  const Tensor maxima({tokens, heads}, ACL_FLOAT, 0), sums({tokens, heads}, ACL_FLOAT, 0);
  const Ints q_lengths({40, 90}), kv_lengths({5, 12}), sel_lengths({3, 7});
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const int status = aclnnNsaCompressAttentionGetWorkspaceSize(
      query.acl, key.acl, value.acl, masks ? hidden.acl : nullptr, masks ? chosen.acl : nullptr,
      q_lengths.acl, kv_lengths.acl, sel_lengths.acl, 0.125, heads, Text("TND"), masks ? 1 : 0, 32,
      16, 32, blocks, maximum.acl, sum.acl, out.acl, best.acl, &size, &executor);
  Run("aclnnNsaCompressAttention", status, aclnnNsaCompressAttention, size, executor);

  tamis_nsa_compress_attention_params params;
  tamis_plan* plan = nullptr;
  tamis_nsa_compress_attention_params_init(&params);
  params.query = query.View();
  params.key = key.View();
  params.value = value.View();
  if (masks) {
    params.atten_mask = hidden.View();
    params.atten_mask.dtype = TAMIS_BOOL;
    params.topk_mask = chosen.View();
  }
  params.actual_seq_qlen = q_lengths.View();
  params.actual_cmp_seq_kvlen = kv_lengths.View();
  params.scale_value = 0.125;
  params.head_num = heads;
  params.compress_block_size = 32;
  params.compress_stride = 16;
  params.select_block_size = 32;
  params.select_block_count = blocks;
  params.attention_out = expected.View();
  params.topk_indices = best_expected.View();
  params.softmax_max = maxima.View();
  params.softmax_sum = sums.View();
  RunReference("nsa_compress_attention",
               tamis_nsa_compress_attention_plan(Reference(), &params, &plan), &plan);
  ExpectEqual("attention", out, expected);
  ExpectEqual("blocks", best, best_expected);

  // Of each sequence [N, S, 8], every number 8 times.
  const Tensor maxima_as_they_lie({tokens, heads, 8}, ACL_FLOAT, 0),
      sums_as_they_lie({tokens, heads, 8}, ACL_FLOAT, 0);
  size_t at = 0;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 40}, {40, 90}}) {
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t token = begin; token < end; ++token) {
        for (int copy = 0; copy < 8; ++copy, ++at) {
          static_cast<float*>(maxima_as_they_lie.memory)[at] =
              static_cast<const float*>(maxima.memory)[token * heads + head];
          static_cast<float*>(sums_as_they_lie.memory)[at] =
              static_cast<const float*>(sums.memory)[token * heads + head];
        }
      }
    }
  }
  ExpectEqual("maxima, as the device lays them down", maximum, maxima_as_they_lie);
  ExpectEqual("sums, as the device lays them down", sum, sums_as_they_lie);
}

void NsaCompressAttentionInfer(const char* layout) {
  const bool packed = std::string(layout) == "TND";
  const int64_t heads = 4, kv_heads = 2, blocks = 4;
  const std::vector<int64_t> rows = packed ? std::vector<int64_t>{4} : std::vector<int64_t>{2, 2};
  const auto of = [&rows](std::vector<int64_t> rest) {
    rest.insert(rest.begin(), rows.begin(), rows.end());
    return rest;
  };
  const Tensor query(of({heads, 64}), ACL_FLOAT16, 6), key({3, 16, kv_heads * 64}, ACL_FLOAT16, 7),
      value({3, 16, kv_heads * 32}, ACL_FLOAT16, 8), table({2, 2}, {2, 0, 1, 2});
  const Tensor mask({2, 20}, ACL_BOOL, 0), unread({1}, ACL_STRING, 0);
  const Tensor out(of({heads, 32}), ACL_FLOAT16, 0), expected(of({heads, 32}), ACL_FLOAT16, 0);
  const Tensor best(of({kv_heads, blocks}), ACL_INT32, 0),
      best_expected(of({kv_heads, blocks}), ACL_INT32, 0);
  const Ints q_lengths({2, 2}), kv_lengths({20, 9}), sel_lengths({336, 160});
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const int status = aclnnNsaCompressAttentionInferGetWorkspaceSize(
      query.acl, key.acl, value.acl, mask.acl, table.acl, q_lengths.acl, kv_lengths.acl,
      sel_lengths.acl, unread.acl, heads, kv_heads, 64, blocks, 32, 16, 0.25, Text(layout), 16, 0,
      out.acl, best.acl, &size, &executor);
  Run("aclnnNsaCompressAttentionInfer", status, aclnnNsaCompressAttentionInfer, size, executor);

  tamis_nsa_compress_attention_infer_params params;
  tamis_plan* plan = nullptr;
  tamis_nsa_compress_attention_infer_params_init(&params);
  params.query = query.View();
  params.key = key.View();
  params.value = value.View();
  params.block_table = table.View();
  params.atten_mask = mask.View();
  params.atten_mask.dtype = TAMIS_BOOL;
  params.scale_value = 0.25;
  params.head_num = heads;
  params.key_value_head_num = kv_heads;
  params.select_block_size = 64;
  params.select_block_count = blocks;
  params.page_block_size = 16;
  params.compress_block_size = 32;
  params.compress_stride = 16;
  params.layout = layout;
  params.actual_seq_qlen = q_lengths.View();
  params.actual_cmp_seq_kvlen = kv_lengths.View();
  params.actual_sel_seq_kvlen = sel_lengths.View();
  params.attention_out = expected.View();
  params.topk_indices = best_expected.View();
  RunReference("nsa_compress_attention_infer",
               tamis_nsa_compress_attention_infer_plan(Reference(), &params, &plan), &plan);
  ExpectEqual("attention over pages", out, expected);
  ExpectEqual("blocks over pages", best, best_expected);
}

// With a mask, whose elements are of no type that Tamis has, causal where the mode says so; without
// one, all keys.
void NsaSelectedAttention(bool mask, int64_t mode) {
  const int64_t tokens = 7, heads = 4, blocks = 3;
  const Tensor query({tokens, heads, 32}, ACL_BF16, 35), key({21, 2, 32}, ACL_BF16, 36),
      value({21, 2, 16}, ACL_BF16, 37);
  const Tensor lists({tokens, 2, blocks},
                     {0, 1, 2, 1, 0,  -1, 2, 0, 9, 0, -1, 1, 0, 1, 1, 2, 1,  0, 1, 0, 2,
                      0, 2, 1, 0, -1, -1, 1, 2, 0, 2, 2,  0, 0, 1, 2, 2, -1, 0, 0, 1, -1});
  const Tensor unread({1}, ACL_STRING, 0);
  const Tensor out({tokens, heads, 16}, ACL_BF16, 0), expected({tokens, heads, 16}, ACL_BF16, 0);
  const Tensor maximum({tokens, heads, 8}, ACL_FLOAT, 0), sum({tokens, heads, 8}, ACL_FLOAT, 0);
  const Tensor maxima({tokens, heads}, ACL_FLOAT, 0), sums({tokens, heads}, ACL_FLOAT, 0);
  const Ints q_lengths({3, 7}), kv_lengths({9, 21});
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const int status = aclnnNsaSelectedAttentionGetWorkspaceSize(
      query.acl, key.acl, value.acl, lists.acl, mask ? unread.acl : nullptr, q_lengths.acl,
      kv_lengths.acl, 0.25, heads, Text("TND"), mode, 4, blocks, maximum.acl, sum.acl, out.acl,
      &size, &executor);
  Run("aclnnNsaSelectedAttention", status, aclnnNsaSelectedAttention, size, executor);

  tamis_nsa_selected_attention_params params;
  tamis_plan* plan = nullptr;
  tamis_nsa_selected_attention_params_init(&params);
  params.query = query.View();
  params.key = key.View();
  params.value = value.View();
  params.topk_indices = lists.View();
  params.scale_value = 0.25;
  params.head_num = heads;
  params.select_block_size = 4;
  params.select_block_count = blocks;
  params.actual_seq_qlen = q_lengths.View();
  params.actual_seq_kvlen = kv_lengths.View();
  params.sparse_mode = mask && mode == 2 ? 2 : 0;
  params.attention_out = expected.View();
  params.softmax_max = maxima.View();
  params.softmax_sum = sums.View();
  RunReference("nsa_selected_attention",
               tamis_nsa_selected_attention_plan(Reference(), &params, &plan), &plan);
  ExpectEqual("attention over selected blocks", out, expected);
  const Tensor maxima_8_times({tokens, heads, 8}, ACL_FLOAT, 0),
      sums_8_times({tokens, heads, 8}, ACL_FLOAT, 0);
  for (int64_t i = 0; i < tokens * heads * 8; ++i) {
    static_cast<float*>(maxima_8_times.memory)[i] = static_cast<const float*>(maxima.memory)[i / 8];
    static_cast<float*>(sums_8_times.memory)[i] = static_cast<const float*>(sums.memory)[i / 8];
  }
  ExpectEqual("maxima, each 8 times", maximum, maxima_8_times);
  ExpectEqual("sums, each 8 times", sum, sums_8_times);
}

// `short_lists`: of one token a sequence, without its dimension.
void NsaSelectedAttentionInfer(const std::string& layout, bool short_lists) {
  using Shape = std::vector<int64_t>;
  const int64_t heads = 4, kv_heads = 2, blocks = 2, steps = short_lists ? 1 : 2;
  const bool packed = layout == "TND";
  const auto of = [&](int64_t dim) {
    if (packed) return Shape{2 * steps, heads, dim};
    return layout == "BSH" ? Shape{2, steps, heads * dim} : Shape{2, steps, heads, dim};
  };
  const auto pages_of = [&](int64_t dim) {
    return layout == "BSND" ? Shape{3, 16, kv_heads, dim} : Shape{3, 16, kv_heads * dim};
  };
  const Tensor query(of(32), ACL_FLOAT16, 38), key(pages_of(32), ACL_FLOAT16, 39),
      value(pages_of(16), ACL_FLOAT16, 40), table({2, 2}, {2, 0, 1, 2});
  const std::vector<int32_t> ids = {0, 1, 1, -1, 2, 0, 0, 2, 1, 0, 0, -1, 0, 1, 1, 1};
  const std::vector<int32_t> some(ids.begin(), ids.begin() + 8 * steps);
  const Tensor lists(packed || short_lists ? Shape{2 * steps, kv_heads, blocks}
                                           : Shape{2, steps, kv_heads, blocks},
                     some);
  const Tensor out(of(16), ACL_FLOAT16, 0), expected(of(16), ACL_FLOAT16, 0),
      unread({1}, ACL_STRING, 0);
  const Ints q_lengths({steps, steps}), kv_lengths({20, 9});
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const int status = aclnnNsaSelectedAttentionInferGetWorkspaceSize(
      query.acl, key.acl, value.acl, lists.acl, unread.acl, table.acl, q_lengths.acl,
      kv_lengths.acl, Text(layout.c_str()), heads, kv_heads, 8, blocks, 16, 0.25, 7, out.acl, &size,
      &executor);
  Run("aclnnNsaSelectedAttentionInfer", status, aclnnNsaSelectedAttentionInfer, size, executor);

  // The same memory as packed tokens: no row is padding.
  const auto packed_view = [&](const Tensor& tensor, const Shape& shape) {
    return tamis_dense_tensor(tensor.memory, tensor.View().dtype,
                              static_cast<int32_t>(shape.size()), shape.data());
  };
  tamis_nsa_selected_attention_infer_params params;
  tamis_plan* plan = nullptr;
  tamis_nsa_selected_attention_infer_params_init(&params);
  params.query = packed_view(query, {2 * steps, heads, 32});
  params.key = packed_view(key, {3, 16, kv_heads * 32});
  params.value = packed_view(value, {3, 16, kv_heads * 16});
  params.topk_indices = packed_view(lists, {2 * steps, kv_heads, blocks});
  params.block_table = table.View();
  params.scale_value = 0.25;
  params.head_num = heads;
  params.key_value_head_num = kv_heads;
  params.select_block_size = 8;
  params.select_block_count = blocks;
  params.page_block_size = 16;
  params.layout = "TND";
  params.actual_seq_qlen = q_lengths.View();
  params.actual_seq_kvlen = kv_lengths.View();
  params.attention_out = packed_view(expected, {2 * steps, heads, 16});
  RunReference("nsa_selected_attention_infer",
               tamis_nsa_selected_attention_infer_plan(Reference(), &params, &plan), &plan);
  ExpectEqual("attention over selected blocks in pages, " + layout, out, expected);
}

void LightningIndexer(bool values) {
  const Tensor query({3, 4, 128}, ACL_BF16, 9), weights({3, 4}, ACL_BF16, 10),
      key({3, 16, 1, 128}, ACL_BF16, 11), table({2, 2}, {2, 0, 1, 1});
  const Tensor q_lengths({2}, {1, 3}), k_lengths({2}, {30, 15});
  const Tensor indices({3, 1, 8}, ACL_INT32, 0), indices_expected({3, 1, 8}, ACL_INT32, 0);
  const Tensor scores({3, 1, 8}, ACL_BF16, 0), scores_expected({3, 1, 8}, ACL_BF16, 0);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const int status = aclnnLightningIndexerGetWorkspaceSize(
      query.acl, key.acl, weights.acl, q_lengths.acl, k_lengths.acl, table.acl, Text("TND"),
      Text("PA_BSND"), 8, 3, kAll, kAll, values, indices.acl, scores.acl, &size, &executor);
  Run("aclnnLightningIndexer", status, aclnnLightningIndexer, size, executor);

  tamis_lightning_indexer_params params;
  tamis_plan* plan = nullptr;
  tamis_lightning_indexer_params_init(&params);
  params.query = query.View();
  params.key = key.View();
  params.weights = weights.View();
  params.actual_seq_lengths_query = q_lengths.View();
  params.actual_seq_lengths_key = k_lengths.View();
  params.block_table = table.View();
  params.layout_query = "TND";
  params.layout_key = "PA_BSND";
  params.sparse_count = 8;
  params.return_value = 1;
  params.sparse_indices = indices_expected.View();
  params.sparse_values = scores_expected.View();
  RunReference("lightning_indexer", tamis_lightning_indexer_plan(Reference(), &params, &plan),
               &plan);
  ExpectEqual("indices", indices, indices_expected);
  if (values) {
    ExpectEqual("scores", scores, scores_expected);
  } else {
    const Tensor untouched({3, 1, 8}, ACL_BF16, 0);
    Expect(std::memcmp(scores.memory, untouched.memory, scores.bytes()) == 0,
           "scores that are not wanted are not written");
  }
}

// V1 without statistics and without value, V2 with sinks and both: the device's statistics count
// the one key head, tamis.h's do not.
void SparseFlashAttention(bool second, bool packed) {
  using Shape = std::vector<int64_t>;
  const auto queries = [&](const Shape& inner) {
    Shape shape = packed ? Shape{6} : Shape{2, 3};
    shape.insert(shape.end(), inner.begin(), inner.end());
    return shape;
  };
  const auto keys = [&](int64_t dim) { return packed ? Shape{40, 1, dim} : Shape{2, 20, 1, dim}; };
  const Shape of_device = packed ? Shape{1, 6, 4} : Shape{2, 1, 3, 4};
  const Tensor query(queries({4, 64}), ACL_FLOAT16, 12),
      query_rope(queries({4, 16}), ACL_FLOAT16, 13);
  const Tensor key(keys(64), ACL_FLOAT16, 14), value(keys(64), ACL_FLOAT16, 15),
      key_rope(keys(16), ACL_FLOAT16, 16), sinks({4}, ACL_FLOAT, 17);
  const Tensor indices(queries({1, 4}), {3,  17, 4, -1, 18, 0,  7, 9, 2, 1,  -1, 0,
                                         12, 5,  8, 6,  0,  10, 3, 4, 9, 19, 11, 2});
  const Tensor q_lengths({2}, packed ? std::vector<int32_t>{2, 6} : std::vector<int32_t>{2, 3});
  const Tensor kv_lengths({2},
                          packed ? std::vector<int32_t>{19, 40} : std::vector<int32_t>{19, 20});
  const Tensor out(queries({4, 64}), ACL_FLOAT16, 0), expected(queries({4, 64}), ACL_FLOAT16, 0);
  const Tensor maximum(of_device, ACL_FLOAT, 0), maximum_expected(queries({4}), ACL_FLOAT, 0);
  const Tensor sum(of_device, ACL_FLOAT, 0), sum_expected(queries({4}), ACL_FLOAT, 0);
  const char* const layout = packed ? "TND" : "BSND";
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  if (second) {
    const int status = aclnnSparseFlashAttentionV2GetWorkspaceSize(
        query.acl, key.acl, value.acl, indices.acl, nullptr, q_lengths.acl, kv_lengths.acl,
        query_rope.acl, key_rope.acl, sinks.acl, 0.25, 1, Text(layout), Text(layout), 3, kAll, kAll,
        2, true, out.acl, maximum.acl, sum.acl, &size, &executor);
    Run("aclnnSparseFlashAttentionV2", status, aclnnSparseFlashAttentionV2, size, executor);
  } else {
    const int status = aclnnSparseFlashAttentionGetWorkspaceSize(
        query.acl, key.acl, nullptr, indices.acl, nullptr, q_lengths.acl, kv_lengths.acl,
        query_rope.acl, key_rope.acl, 0.25, 1, Text(layout), Text(layout), 3, kAll, kAll, 2, false,
        out.acl, maximum.acl, sum.acl, &size, &executor);
    Run("aclnnSparseFlashAttention", status, aclnnSparseFlashAttention, size, executor);
  }

  tamis_sparse_flash_attention_params params;
  tamis_plan* plan = nullptr;
  tamis_sparse_flash_attention_params_init(&params);
  params.query = query.View();
  params.key = key.View();
  params.sparse_indices = indices.View();
  params.actual_seq_lengths_query = q_lengths.View();
  params.actual_seq_lengths_kv = kv_lengths.View();
  params.query_rope = query_rope.View();
  params.key_rope = key_rope.View();
  params.scale_value = 0.25;
  params.layout_query = params.layout_kv = layout;
  params.out = expected.View();
  if (second) {
    params.value = value.View();
    params.sinks = sinks.View();
    params.return_softmax_lse = 1;
    params.softmax_max = maximum_expected.View();
    params.softmax_sum = sum_expected.View();
  }
  RunReference("sparse_flash_attention",
               tamis_sparse_flash_attention_plan(Reference(), &params, &plan), &plan);
  ExpectEqual("sparse attention", out, expected);
  if (second) {
    ExpectEqual("its maxima", maximum, maximum_expected);
    ExpectEqual("its sums", sum, sum_expected);
  } else {
    Expect(std::memcmp(maximum.memory, maximum_expected.memory, maximum.bytes()) == 0 &&
               std::memcmp(sum.memory, sum_expected.memory, sum.bytes()) == 0,
           "statistics that are not wanted are not written");
  }
}

void KvQuantSparseFlashAttention(bool second) {
  const int64_t keys = 20, latent = 128, rope = 16, width = latent + 2 * rope + latent / 32;
  const Tensor query({1, 2, 4, latent + rope}, ACL_BF16, 18);
  const Tensor latents({keys, latent}, ACL_BF16, 19), ropes({keys, rope}, ACL_BF16, 20);
  const Tensor rows({1, keys, 1, width}, ACL_INT8, 0), sinks({4}, ACL_FLOAT, 21);
  const Tensor indices({1, 2, 1, 4}, {3, 17, 4, -1, 19, 0, 7, 9});
  const Tensor out({1, 2, 4, latent}, ACL_BF16, 0), expected({1, 2, 4, latent}, ACL_BF16, 0);
  tamis_pack_kv_rows_params packing;
  tamis_plan* plan = nullptr;
  const int64_t flat[] = {keys, width};
  tamis_pack_kv_rows_params_init(&packing);
  packing.latent = latents.View();
  packing.rope = ropes.View();
  packing.rows = tamis_dense_tensor(rows.memory, TAMIS_UINT8, 2, flat);
  RunReference("pack_kv_rows", tamis_pack_kv_rows_plan(Reference(), &packing, &plan), &plan);

  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  if (second) {
    const int status = aclnnKvQuantSparseFlashAttentionV2GetWorkspaceSize(
        query.acl, rows.acl, rows.acl, indices.acl, nullptr, nullptr, nullptr, nullptr, nullptr,
        sinks.acl, 0.25, 2, 2, 1, Text("BSND"), Text("BSND"), 3, kAll, kAll, 2, 1, 128, rope,
        out.acl, &size, &executor);
    Run("aclnnKvQuantSparseFlashAttentionV2", status, aclnnKvQuantSparseFlashAttentionV2, size,
        executor);
  } else {
    const int status = aclnnKvQuantSparseFlashAttentionGetWorkspaceSize(
        query.acl, rows.acl, rows.acl, indices.acl, nullptr, nullptr, nullptr, nullptr, nullptr,
        0.25, 2, 2, 1, Text("BSND"), Text("BSND"), 3, kAll, kAll, 2, 1, 128, rope, out.acl, &size,
        &executor);
    Run("aclnnKvQuantSparseFlashAttention", status, aclnnKvQuantSparseFlashAttention, size,
        executor);
  }

  tamis_sparse_flash_attention_params params;
  tamis_sparse_flash_attention_params_init(&params);
  params.query = query.View();
  params.query.shape[3] = latent;
  params.query_rope = params.query;
  params.query_rope.shape[3] = rope;
  params.query_rope.data = static_cast<uint16_t*>(query.memory) + latent;
  params.key = rows.View();
  params.kv_format = "cann656";
  params.sparse_indices = indices.View();
  params.scale_value = 0.25;
  params.out = expected.View();
  if (second) params.sinks = sinks.View();
  RunReference("sparse_flash_attention over rows",
               tamis_sparse_flash_attention_plan(Reference(), &params, &plan), &plan);
  ExpectEqual("sparse attention over rows", out, expected);
}

struct Weights {
  // Row-major or, of the same matrix, NZ with the shape that the device has of it.
  Weights(int64_t k, int64_t n, uint32_t seed)
      : plain({k, n}, ACL_BF16, seed), nz({n / 16, k / 16, 16, 16}, ACL_BF16, 0) {
    const auto* from = static_cast<const uint16_t*>(plain.memory);
    auto* to = static_cast<uint16_t*>(nz.memory);
    for (int64_t panel = 0; panel < n / 16; ++panel) {
      for (int64_t row = 0; row < k; ++row) {
        for (int64_t column = 0; column < 16; ++column) *to++ = from[row * n + panel * 16 + column];
      }
    }
    aclDestroyTensor(nz.acl);
    nz.acl = aclCreateTensor(nz.shape.data(), 4, ACL_BF16, nullptr, 0, ACL_FORMAT_FRACTAL_NZ,
                             nz.shape.data(), 4, nz.memory);
  }
  Tensor plain, nz;
};

void MlaProlog(int version, bool is_nz) {
  const int64_t tokens = 3, hidden = 64, low = 32, heads = 2, nope = 16, latent = 32, rope = 16;
  const Tensor x({tokens, hidden}, ACL_BF16, 22), w_uk({heads, nope, latent}, ACL_BF16, 25);
  const Weights w_dq(hidden, low, 23), w_uq_qr(low, heads * (nope + rope), 24),
      w_dkv_kr(hidden, latent + rope, 26);
  const Tensor gamma_cq({low}, ACL_BF16, 27), gamma_ckv({latent}, ACL_BF16, 28);
  const Tensor sin({tokens, rope}, ACL_BF16, 29), cos({tokens, rope}, ACL_BF16, 30);
  const Tensor slots({tokens}, {5, 0, 3});
  const Tensor kv({2, 4, 1, latent}, ACL_BF16, 31), kv_expected({2, 4, 1, latent}, ACL_BF16, 31);
  const Tensor kr({2, 4, 1, rope}, ACL_BF16, 32), kr_expected({2, 4, 1, rope}, ACL_BF16, 32);
  const Tensor q({tokens, heads, latent}, ACL_BF16, 0),
      q_expected({tokens, heads, latent}, ACL_BF16, 0);
  const Tensor qr({tokens, heads, rope}, ACL_BF16, 0),
      qr_expected({tokens, heads, rope}, ACL_BF16, 0);
  const Tensor norm({tokens, low}, ACL_BF16, 0), norm_expected({tokens, low}, ACL_BF16, 0);
  const auto of = [is_nz](const Weights& weights) {
    return is_nz ? weights.nz.acl : weights.plain.acl;
  };
  const std::string what = "mla_prolog, version " + std::to_string(version);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  if (version == 1) {
    const int status = aclnnMlaPrologGetWorkspaceSize(
        x.acl, of(w_dq), of(w_uq_qr), w_uk.acl, of(w_dkv_kr), gamma_cq.acl, gamma_ckv.acl, sin.acl,
        cos.acl, slots.acl, kv.acl, kr.acl, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
        nullptr, 1e-3, 1e-4, Text("PA_BSND"), q.acl, qr.acl, &size, &executor);
    Run(what, status, aclnnMlaProlog, size, executor);
  } else if (version == 2) {
    const int status = aclnnMlaPrologV2WeightNzGetWorkspaceSize(
        x.acl, of(w_dq), of(w_uq_qr), w_uk.acl, of(w_dkv_kr), gamma_cq.acl, gamma_ckv.acl, sin.acl,
        cos.acl, slots.acl, kv.acl, kr.acl, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
        nullptr, 1e-3, 1e-4, Text("PA_BSND"), q.acl, qr.acl, nullptr, &size, &executor);
    Run(what, status, aclnnMlaPrologV2WeightNz, size, executor);
  } else {
    const int status = aclnnMlaPrologV3WeightNzGetWorkspaceSize(
        x.acl, of(w_dq), of(w_uq_qr), w_uk.acl, of(w_dkv_kr), gamma_cq.acl, gamma_ckv.acl, sin.acl,
        cos.acl, kv.acl, kr.acl, slots.acl, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
        nullptr, nullptr, nullptr, 1e-3, 1e-4, Text("PA_BSND"), 0, 0, 0, 0, 0, 128, 1.0, 1.0, q.acl,
        qr.acl, nullptr, norm.acl, nullptr, &size, &executor);
    Run(what, status, aclnnMlaPrologV3WeightNz, size, executor);
  }

  tamis_mla_prolog_params params;
  tamis_plan* plan = nullptr;
  tamis_mla_prolog_params_init(&params);
  params.x = x.View();
  params.w_dq = w_dq.plain.View();
  params.w_uq_qr = w_uq_qr.plain.View();
  params.w_uk = w_uk.View();
  params.w_dkv_kr = w_dkv_kr.plain.View();
  params.gamma_cq = gamma_cq.View();
  params.gamma_ckv = gamma_ckv.View();
  params.sin = sin.View();
  params.cos = cos.View();
  params.cache_index = slots.View();
  params.kv_cache = kv_expected.View();
  params.kr_cache = kr_expected.View();
  params.epsilon_cq = 1e-3;
  params.epsilon_ckv = 1e-4;
  params.query = q_expected.View();
  params.query_rope = qr_expected.View();
  params.query_norm = norm_expected.View();
  RunReference(what, tamis_mla_prolog_plan(Reference(), &params, &plan), &plan);
  ExpectEqual(what + ", query", q, q_expected);
  ExpectEqual(what + ", query_rope", qr, qr_expected);
  ExpectEqual(what + ", kv_cache", kv, kv_expected);
  ExpectEqual(what + ", kr_cache", kr, kr_expected);
  if (version == 3) ExpectEqual(what + ", query_norm", norm, norm_expected);
}

// An executor runs once, or until it is destroyed where it was made repeatable.
void RepeatableExecutor() {
  const Tensor input({6, 1, 16}, ACL_FLOAT16, 33), weight({2, 1}, ACL_FLOAT16, 34);
  const Tensor output({3, 1, 16}, ACL_FLOAT16, 0), first({3, 1, 16}, ACL_FLOAT16, 0);
  const Ints lengths({6});
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  const int status = aclnnNsaCompressGetWorkspaceSize(input.acl, weight.acl, lengths.acl, nullptr,
                                                      2, 2, 0, output.acl, &size, &executor);
  Expect(aclSetAclOpExecutorRepeatable(executor) == ACLNN_SUCCESS, "aclSetAclOpExecutorRepeatable");
  Run("the first run", status, aclnnNsaCompress, size, executor);
  std::memcpy(first.memory, output.memory, output.bytes());
  output.Fill(0);
  Run("the second run", status, aclnnNsaCompress, size, executor);
  ExpectEqual("the second run", output, first);
  Expect(aclDestroyAclOpExecutor(executor) == ACLNN_SUCCESS, "aclDestroyAclOpExecutor");
  ExpectRefused(aclSetAclOpExecutorRepeatable(nullptr), ACLNN_ERR_PARAM_NULLPTR, "executor");
  Expect(aclDestroyAclOpExecutor(nullptr) == ACLNN_SUCCESS, "no executor is destroyed");
}

}  // namespace

void CheckCalls() {
  NsaCompress(ACL_FLOAT16);
  NsaCompress(ACL_BF16);
  NsaCompressAttention(false);
  NsaCompressAttention(true);
  NsaCompressAttentionInfer("TND");
  NsaCompressAttentionInfer("BSND");
  NsaSelectedAttention(false, 2);
  NsaSelectedAttention(true, 0);
  NsaSelectedAttention(true, 2);
  for (const char* layout : {"TND", "BSND", "BSH"}) {
    NsaSelectedAttentionInfer(layout, false);
    NsaSelectedAttentionInfer(layout, true);
  }
  LightningIndexer(true);
  LightningIndexer(false);
  for (const bool packed : {false, true}) {
    SparseFlashAttention(false, packed);
    SparseFlashAttention(true, packed);
  }
  KvQuantSparseFlashAttention(false);
  KvQuantSparseFlashAttention(true);
  for (const int version : {1, 2, 3}) {
    MlaProlog(version, true);
    MlaProlog(version, false);
  }
  RepeatableExecutor();
}
