// The operators' own contracts are whole, and agree with each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/contract.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "registry/registry.h"
#include "tamis/tamis.hpp"

namespace tamis::base {
namespace {

size_t SizeOf(Type type) {
  switch (type) {
    case Type::kTensor: return sizeof(TensorView);
    case Type::kInts: return sizeof(IntList);
    case Type::kInt: return sizeof(int64_t);
    case Type::kFloat: return sizeof(double);
    case Type::kChoice: return sizeof(int32_t);
    case Type::kBool: return sizeof(bool);
  }
  return 0;
}

size_t AlignmentOf(Type type) {
  switch (type) {
    case Type::kChoice: return alignof(int32_t);
    case Type::kBool: return alignof(bool);
    default: return alignof(int64_t);
  }
}

size_t AlignUp(size_t offset, size_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

TEST(OperatorContracts, FieldsCoverTheParamsStructInOrder) {
  for (const Operator& op : registry::Operators()) {
    size_t end = 0;
    for (const Field& field : op.contract->fields) {
      EXPECT_EQ(field.offset, AlignUp(end, AlignmentOf(field.type)))
          << op.contract->name << "." << field.name;
      end = field.offset + SizeOf(field.type);
    }
    EXPECT_EQ(op.contract->params_size, AlignUp(end, alignof(TensorView))) << op.contract->name;
  }
}

// Counts the members of an aggregate by how many initialisers it takes. Padding cannot hide one.
struct Anything {
  template <class T>
  operator T() const;  // NOLINT(google-explicit-constructor)
};
template <class T, class... Given>
consteval size_t CountMembers() {
  if constexpr (requires { T{Given{}..., Anything{}}; }) {
    return CountMembers<T, Given..., Anything>();
  } else {
    return sizeof...(Given);
  }
}

// Of every type that a member may have, counted by hand.
enum class Choice : int32_t { kOne = 0 };
struct Counted {
  TensorView tensor;
  int64_t size = 3;
  double scale = 0.5;
  Choice choice = Choice::kOne;
  IntList lengths;
  bool flag = false;
  OutputView out;
};

TEST(OperatorContracts, EveryMemberOfParamsIsAField) {
  static_assert(CountMembers<Counted>() == 7);
  const std::map<std::string, size_t> members = {
      {"indexer_prolog", CountMembers<indexer_prolog::Params>()},
      {"dense_lightning_indexer_grad_kl_loss",
       CountMembers<dense_lightning_indexer_grad_kl_loss::Params>()},
      {"sparse_lightning_indexer_grad_kl_loss",
       CountMembers<sparse_lightning_indexer_grad_kl_loss::Params>()},
      {"dense_lightning_indexer_softmax_lse",
       CountMembers<dense_lightning_indexer_softmax_lse::Params>()},
      {"lightning_indexer", CountMembers<lightning_indexer::Params>()},
      {"lightning_indexer_grad", CountMembers<lightning_indexer_grad::Params>()},
      {"globalize_indices", CountMembers<globalize_indices::Params>()},
      {"localize_indices", CountMembers<localize_indices::Params>()},
      {"merge_attention_states", CountMembers<merge_attention_states::Params>()},
      {"merge_topk", CountMembers<merge_topk::Params>()},
      {"mla_prolog", CountMembers<mla_prolog::Params>()},
      {"nd_to_nz", CountMembers<nd_to_nz::Params>()},
      {"nsa_compress", CountMembers<nsa_compress::Params>()},
      {"nsa_compress_grad", CountMembers<nsa_compress_grad::Params>()},
      {"nsa_compress_attention", CountMembers<nsa_compress_attention::Params>()},
      {"quantize_index_keys", CountMembers<quantize_index_keys::Params>()},
      {"pack_kv_rows", CountMembers<pack_kv_rows::Params>()},
      {"unpack_kv_rows", CountMembers<unpack_kv_rows::Params>()},
      {"sparse_attention_pto", CountMembers<sparse_attention_pto::Params>()},
      {"sparse_flash_attention", CountMembers<sparse_flash_attention::Params>()},
      {"nsa_compress_attention_infer", CountMembers<nsa_compress_attention_infer::Params>()},
      {"nsa_compress_infer", CountMembers<nsa_compress_infer::Params>()},
      {"nsa_selected_attention", CountMembers<nsa_selected_attention::Params>()},
      {"nsa_selected_attention_infer", CountMembers<nsa_selected_attention_infer::Params>()},
      {"nz_to_nd", CountMembers<nz_to_nd::Params>()},
      {"sliding_window_attention", CountMembers<sliding_window_attention::Params>()},
      {"nsa_compress_attention_grad", CountMembers<nsa_compress_attention_grad::Params>()},
      {"nsa_selected_attention_grad", CountMembers<nsa_selected_attention_grad::Params>()},
      {"sliding_window_attention_grad", CountMembers<sliding_window_attention_grad::Params>()},
      {"sparse_flash_attention_grad", CountMembers<sparse_flash_attention_grad::Params>()},
  };
  for (const Operator& op : registry::Operators()) {
    ASSERT_TRUE(members.contains(op.contract->name)) << op.contract->name << " is not listed here";
    EXPECT_EQ(op.contract->fields.size(), members.at(op.contract->name)) << op.contract->name;
  }
}

// "key heads = 1" where a dimension is always 1, never "1 = 1"; batch and heads by name.
TEST(OperatorContracts, AQueryOfOneDimMoreIsToBlameAndSoIsAKey) {
  const std::vector<bfloat16> x(1);
  const auto complaint = [&](int64_t query_dim, int64_t key_dim) {
    lightning_indexer::Params params;
    params.query = {x.data(), {2, 3, 8, query_dim}};
    params.key = {x.data(), {2, 40, 1, key_dim}};
    params.weights = {x.data(), {2, 3, 8}};
    return lightning_indexer::plan(params).status().message();
  };
  EXPECT_EQ(complaint(129, 128),
            "query: expected shape [batch B = 2, query tokens S1 = 3, heads N = 8, dim D = 128 as "
            "key has], got [2, 3, 8, 129]");
  EXPECT_EQ(complaint(128, 129),
            "key: expected shape [batch Bk = 2, keys S2 = 40, key heads = 1, dim D = 128 as query "
            "has], got [2, 40, 1, 129]");
}

TEST(OperatorContracts, EveryDimensionHasAWord) {
  for (const Operator& op : registry::Operators()) {
    for (const Field& field : op.contract->fields) {
      for (const ShapeForm& form : field.shapes) {
        for (const std::string& entry : SplitDims(form.dims)) {
          const bool product = entry.find('*') != std::string::npos;
          const bool attribute = op.contract->Find(entry) != nullptr;
          if (product || attribute || entry.size() > 2) continue;  // words, and sums of them
          EXPECT_NE(Contract::InWords(entry), entry) << op.contract->name << "." << field.name;
        }
      }
    }
  }
}

TEST(OperatorContracts, ReferToWhatExists) {
  for (const Operator& op : registry::Operators()) {
    const Contract& contract = *op.contract;
    const Field* strict = contract.Find("strict");
    ASSERT_NE(strict, nullptr) << contract.name;
    EXPECT_EQ(strict->type, Type::kBool) << contract.name;
    std::set<std::string> before;
    for (const Field& field : contract.fields) {
      const std::string where = contract.name + "." + field.name;
      EXPECT_TRUE(before.insert(field.name).second) << where << " stands twice";
      EXPECT_FALSE(field.doc.empty()) << where;
      EXPECT_EQ(field.type == Type::kChoice, !field.choices.empty()) << where;
      EXPECT_FALSE(field.strict.default_only && field.required) << where;
      for (const DType dtype : field.strict.dtypes) {
        EXPECT_EQ(std::count(field.dtypes.begin(), field.dtypes.end(), dtype), 1) << where;
      }
      if (!field.is_tensor()) continue;
      EXPECT_NE(field.dtypes.empty(), field.dtype_as.empty()) << where;
      if (!field.dtype_as.empty()) {
        EXPECT_TRUE(before.contains(field.dtype_as)) << where;
        // That of a tensor that may be absent is known where the field needs that tensor.
        const bool needed = std::count(field.needs.begin(), field.needs.end(), field.dtype_as) > 0;
        EXPECT_TRUE(needed || contract.Find(field.dtype_as)->role == Role::kInput) << where;
      }
      if (!field.wanted_by.empty()) {
        ASSERT_NE(contract.Find(field.wanted_by), nullptr) << where;
        EXPECT_EQ(contract.Find(field.wanted_by)->type, Type::kBool) << where;
      }
      if (!field.dtype_attribute.empty()) {
        ASSERT_NE(contract.Find(field.dtype_attribute), nullptr) << where;
        EXPECT_EQ(contract.Find(field.dtype_attribute)->choices.size(), field.dtype_choices.size())
            << where;
      }
      if (field.shapes.size() == 1) continue;
      const std::string& attribute =
          field.layout.empty() ? contract.layout_attribute : field.layout;
      const Field* layout = contract.Find(attribute.empty() ? contract.layout_tensor : attribute);
      ASSERT_NE(layout, nullptr) << where;
      std::vector<std::string> names = layout->choices;
      for (const ShapeForm& form : layout->shapes) names.push_back(form.when);
      EXPECT_EQ(field.shapes.size(), names.size()) << where;
      for (const ShapeForm& form : field.shapes)
        EXPECT_EQ(std::count(names.begin(), names.end(), form.when), 1) << where << form.when;
    }
    for (const Limit& limit : contract.limits) {
      EXPECT_NE(contract.Find(limit.argument), nullptr) << contract.name << ": " << limit.argument;
      EXPECT_FALSE(limit.bounds.empty()) << contract.name << ": " << limit.argument;
    }
  }
}

// Else nobody knows how many rows the reference has.
TEST(OperatorContracts, RowsHaveADimensionOfTheirOwnWhereOutputsHave) {
  for (const Operator& op : registry::Operators()) {
    const std::vector<Field>& fields = op.contract->fields;
    const bool returns = std::any_of(fields.begin(), fields.end(), [](const Field& field) {
      return field.is_output() && !field.is_updated();
    });
    const bool gradients = std::any_of(fields.begin(), fields.end(), [](const Field& field) {
      return field.is_output() && !field.gradient_of.empty();
    });
    EXPECT_EQ(op.contract->rows.empty(), returns && !gradients) << op.contract->name;
  }
}

std::map<std::string, std::string> DimsOf(const Field& field) {
  std::map<std::string, std::string> dims;
  for (const ShapeForm& form : field.shapes) dims.emplace(form.when, form.dims);
  return dims;
}

// [T, N] beside an attention of [T, N, D], [B, S1, N] beside [B, S1, N, D]; of index scores, which
// have no head, [T] and [B, S1] beside weights.
TEST(OperatorContracts, StatisticsLieAsTheTokensAndHeadsOfTheirAttention) {
  std::set<std::string> found;
  for (const Operator& op : registry::Operators()) {
    const Contract& contract = *op.contract;
    for (const Field& field : contract.fields) {
      if (!field.name.starts_with("softmax_")) continue;
      found.insert(contract.name);
      const std::string where = contract.name + "." + field.name;
      const bool gradient = !contract.gradient_of.empty();
      const bool of_index = field.name.ends_with("_index");
      std::vector<const Field*> beside;  // query and out, or outs, or query and the gradient of out
      for (const Field& other : contract.fields) {
        const bool is_beside =
            of_index ? other.name == "weights"
            : gradient || contract.Find("loss") != nullptr
                ? other.is_input() && (other.name == "query" || !other.gradient_of.empty())
            : field.is_input() ? other.name == "outs"
                               : other.role == Role::kOutput || other.name == "query";
        if (is_beside) beside.push_back(&other);
      }
      ASSERT_FALSE(beside.empty()) << where;
      for (const Field* other : beside) {
        std::map<std::string, std::string> expected = DimsOf(*other);
        for (auto& [when, dims] : expected) dims.resize(dims.rfind(", "));
        EXPECT_EQ(DimsOf(field), expected) << where << " and " << other->name;
      }
      EXPECT_EQ(field.dtypes, std::vector<DType>{DType::kFloat32}) << where;
      EXPECT_TRUE(field.row_dims.empty()) << where << ": rows are those of the contract";
    }
  }
  const std::set<std::string> known = {"merge_attention_states", "nsa_compress_attention",
                                       "sliding_window_attention", "sparse_flash_attention"};
  EXPECT_TRUE(std::includes(found.begin(), found.end(), known.begin(), known.end()));
}

}  // namespace
}  // namespace tamis::base
