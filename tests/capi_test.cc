// The C interface against the C++ one, and everything that a caller can do wrong.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "capi/error.h"
#include "capi/typed.h"
#include "registry/argument_text.h"
#include "registry/describe.h"
#include "registry/registry.h"
#include "tamis/tamis.h"
#include "tamis/tamis.hpp"
#include "tests/support/test_call.h"

namespace tamis::capi {
namespace {

using Halves = std::vector<uint16_t>;

Halves RandomHalves(int64_t count, uint64_t seed) {
  test::Random random(seed);
  Halves halves(static_cast<size_t>(count));
  for (uint16_t& half : halves) half = base::DoubleToBFloat16(random.Normal());
  return halves;
}

tamis_tensor Tensor(const void* data, tamis_dtype dtype, const std::vector<int64_t>& shape) {
  return tamis_dense_tensor(data, dtype, static_cast<int32_t>(shape.size()), shape.data());
}

tamis_int_list List(const std::vector<int64_t>& list) {
  return {list.data(), static_cast<int64_t>(list.size())};
}

// A call by name under construction.
struct Named {
  std::vector<tamis_named_tensor> tensors;
  std::vector<tamis_named_attribute> attributes;

  Named& Add(const char* name, const tamis_tensor& tensor) {
    tensors.push_back({name, tensor});
    return *this;
  }
  tamis_named_attribute& Attribute(const char* name, int32_t type) {
    attributes.push_back({});
    attributes.back().name = name;
    attributes.back().type = type;
    return attributes.back();
  }
  Named& Int(const char* name, int64_t value) {
    Attribute(name, TAMIS_ATTRIBUTE_INT).value.as_int = value;
    return *this;
  }
  Named& Float(const char* name, double value) {
    Attribute(name, TAMIS_ATTRIBUTE_FLOAT).value.as_float = value;
    return *this;
  }
  Named& Bool(const char* name, int64_t value) {
    Attribute(name, TAMIS_ATTRIBUTE_BOOL).value.as_int = value;
    return *this;
  }
  Named& String(const char* name, const char* value) {
    Attribute(name, TAMIS_ATTRIBUTE_STRING).value.as_string = value;
    return *this;
  }
  Named& Ints(const char* name, const tamis_int_list& value) {
    Attribute(name, TAMIS_ATTRIBUTE_INTS).value.as_ints = value;
    return *this;
  }
  tamis_status Plan(const char* op, tamis_plan** plan, const tamis_context* context = nullptr) {
    return tamis_plan_by_name(context, op, tensors.data(), static_cast<int64_t>(tensors.size()),
                              attributes.data(), static_cast<int64_t>(attributes.size()), plan);
  }
  tamis_status Outputs(const char* op, std::vector<tamis_output>* outputs, int64_t* count) {
    return tamis_outputs_by_name(op, tensors.data(), static_cast<int64_t>(tensors.size()),
                                 attributes.data(), static_cast<int64_t>(attributes.size()),
                                 outputs->data(), static_cast<int64_t>(outputs->size()), count);
  }
};

// *plan is read after the call that `planned` answers for.
void RunAndDestroy(tamis_status planned, tamis_plan** plan) {
  ASSERT_EQ(planned, TAMIS_OK) << tamis_last_error();
  EXPECT_EQ(tamis_plan_run(*plan, nullptr, 0, nullptr), TAMIS_OK) << tamis_last_error();
  tamis_plan_destroy(std::exchange(*plan, nullptr));
}

// One call of nsa_compress: 40 tokens in two sequences, 3 heads of 16, windows of 8 every 4.
class CApi : public testing::Test {
 protected:
  CApi() {
    EXPECT_EQ(tamis_nsa_compress_params_init(&params_), TAMIS_OK);
    params_.input = Tensor(input_.data(), TAMIS_BFLOAT16, {40, 3, 16});
    params_.weight = Tensor(weight_.data(), TAMIS_BFLOAT16, {8, 3});
    params_.act_seq_len = List(prefix_);
    params_.compress_block_size = 8;
    params_.compress_stride = 4;
    params_.output = Tensor(output_.data(), TAMIS_BFLOAT16, {7, 3, 16});

    named_.Add("input", params_.input).Add("weight", params_.weight).Add("output", params_.output);
    named_.Ints("act_seq_len", List(prefix_)).Int("compress_block_size", 8);
    named_.Int("compress_stride", 4);
  }

  void ExpectRefused(tamis_status status, tamis_status expected, const std::string& start) {
    EXPECT_EQ(status, expected) << tamis_last_error();
    const std::string line = tamis_last_error();
    EXPECT_EQ(line.rfind(start, 0), 0U) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    EXPECT_EQ(plan_, nullptr) << "a refused call leaves no plan";
    EXPECT_EQ(output_, Halves(output_.size(), 0xAAAA)) << "a refused call writes nothing";
  }
  void ExpectTypedRefused(tamis_status expected, const std::string& start) {
    plan_ = Poison();
    ExpectRefused(tamis_nsa_compress_plan(nullptr, &params_, &plan_), expected, start);
  }
  void ExpectNamedRefused(tamis_status expected, const std::string& start) {
    plan_ = Poison();
    ExpectRefused(named_.Plan("nsa_compress", &plan_), expected, start);
  }
  static tamis_plan* Poison() { return reinterpret_cast<tamis_plan*>(16); }

  const Halves input_ = RandomHalves(40 * 3 * 16, 1);
  const Halves weight_ = RandomHalves(8 * 3, 2);
  const std::vector<int64_t> prefix_ = {18, 40};  // 3 and 4 windows
  Halves output_ = Halves(7 * 3 * 16, 0xAAAA);
  tamis_nsa_compress_params params_;
  Named named_;
  tamis_plan* plan_ = nullptr;
};

TEST_F(CApi, TypedByNameAndCppCallsGiveTheSameBytes) {
  RunAndDestroy(tamis_nsa_compress_plan(nullptr, &params_, &plan_), &plan_);
  const Halves typed = std::exchange(output_, Halves(output_.size(), 0xAAAA));

  named_.tensors[2].tensor.data = output_.data();
  RunAndDestroy(named_.Plan("nsa_compress", &plan_), &plan_);
  const Halves by_name = std::exchange(output_, Halves(output_.size(), 0xAAAA));

  nsa_compress::Params cpp;
  cpp.input = {input_.data(), DType::kBFloat16, {40, 3, 16}};
  cpp.weight = {weight_.data(), DType::kBFloat16, {8, 3}};
  cpp.act_seq_len = prefix_;
  cpp.compress_block_size = 8;
  cpp.compress_stride = 4;
  cpp.output = {output_.data(), DType::kBFloat16, {7, 3, 16}};
  ASSERT_TRUE(nsa_compress::run(cpp).ok());

  EXPECT_EQ(typed, output_);
  EXPECT_EQ(by_name, output_);
  EXPECT_NE(typed, Halves(typed.size(), 0xAAAA));
}

// Choices, a float, absent and present optional tensors.
TEST(CApiAttention, TypedByNameAndCppCallsGiveTheSameBytes) {
  constexpr int64_t kRows = 20, kHeads = 4, kKeys = 12, kKvHeads = 2, kDim = 16, kTop = 2;
  const Halves query = RandomHalves(kRows * kHeads * kDim, 3);
  const Halves key = RandomHalves(kKeys * kKvHeads * kDim, 4);
  const Halves value = RandomHalves(kKeys * kKvHeads * kDim, 5);
  const std::vector<int64_t> q_prefix = {8, kRows}, k_prefix = {7, kKeys};
  struct Results {
    Halves out = Halves(kRows * kHeads * kDim);
    std::vector<int32_t> topk = std::vector<int32_t>(kRows * kKvHeads * kTop);
    std::vector<float> max = std::vector<float>(kRows * kHeads);
    bool operator==(const Results&) const = default;
  } typed, by_name, cpp;

  tamis_nsa_compress_attention_params params;
  ASSERT_EQ(tamis_nsa_compress_attention_params_init(&params), TAMIS_OK);
  params.query = Tensor(query.data(), TAMIS_BFLOAT16, {kRows, kHeads, kDim});
  params.key = Tensor(key.data(), TAMIS_BFLOAT16, {kKeys, kKvHeads, kDim});
  params.value = Tensor(value.data(), TAMIS_BFLOAT16, {kKeys, kKvHeads, kDim});
  params.scale_value = 0.25;
  params.head_num = kHeads;
  params.compress_block_size = 8;
  params.compress_stride = 4;
  params.select_block_size = 16;
  params.select_block_count = kTop;
  params.actual_seq_qlen = List(q_prefix);
  params.actual_cmp_seq_kvlen = List(k_prefix);
  params.importance = "exact_overlap";
  params.attention_out = Tensor(typed.out.data(), TAMIS_BFLOAT16, {kRows, kHeads, kDim});
  params.topk_indices = Tensor(typed.topk.data(), TAMIS_INT32, {kRows, kKvHeads, kTop});
  params.softmax_max = Tensor(typed.max.data(), TAMIS_FLOAT32, {kRows, kHeads});
  tamis_plan* plan = nullptr;
  RunAndDestroy(tamis_nsa_compress_attention_plan(nullptr, &params, &plan), &plan);

  Named named;
  named.Add("query", params.query).Add("key", params.key).Add("value", params.value);
  named.Add("attention_out", Tensor(by_name.out.data(), TAMIS_BFLOAT16, {kRows, kHeads, kDim}));
  named.Add("topk_indices", Tensor(by_name.topk.data(), TAMIS_INT32, {kRows, kKvHeads, kTop}));
  named.Add("softmax_max", Tensor(by_name.max.data(), TAMIS_FLOAT32, {kRows, kHeads}));
  named.Float("scale_value", 0.25).Int("head_num", kHeads).Int("compress_block_size", 8);
  named.Int("compress_stride", 4).Int("select_block_size", 16).Int("select_block_count", kTop);
  named.Ints("actual_seq_qlen", List(q_prefix)).Ints("actual_cmp_seq_kvlen", List(k_prefix));
  named.String("importance", "exact_overlap").Bool("strict", 0);
  RunAndDestroy(named.Plan("nsa_compress_attention", &plan), &plan);

  const auto bf16 = DType::kBFloat16;
  nsa_compress_attention::Params p;
  p.query = {query.data(), bf16, {kRows, kHeads, kDim}};
  p.key = {key.data(), bf16, {kKeys, kKvHeads, kDim}};
  p.value = {value.data(), bf16, {kKeys, kKvHeads, kDim}};
  p.scale_value = 0.25;
  p.head_num = kHeads;
  p.compress_block_size = 8;
  p.compress_stride = 4;
  p.select_block_size = 16;
  p.select_block_count = kTop;
  p.actual_seq_qlen = q_prefix;
  p.actual_cmp_seq_kvlen = k_prefix;
  p.importance = Importance::kExactOverlap;
  p.attention_out = {cpp.out.data(), bf16, {kRows, kHeads, kDim}};
  p.topk_indices = {cpp.topk.data(), DType::kInt32, {kRows, kKvHeads, kTop}};
  p.softmax_max = {cpp.max.data(), DType::kFloat32, {kRows, kHeads}};
  const Status status = nsa_compress_attention::run(p);
  ASSERT_TRUE(status.ok()) << status.message();

  EXPECT_EQ(typed, cpp);
  EXPECT_EQ(by_name, cpp);
  EXPECT_NE(typed, Results());
}

TEST_F(CApi, OutputsFollowFromTheInputs) {
  named_.tensors.pop_back();
  std::vector<tamis_output> outputs(3);
  int64_t count = -1;
  ASSERT_EQ(named_.Outputs("nsa_compress", &outputs, &count), TAMIS_OK) << tamis_last_error();
  ASSERT_EQ(count, 1);
  EXPECT_STREQ(outputs[0].name, "output");
  EXPECT_EQ(outputs[0].dtype, TAMIS_BFLOAT16);
  EXPECT_EQ(outputs[0].optional, 0);
  EXPECT_EQ(std::vector<int64_t>(outputs[0].shape, outputs[0].shape + outputs[0].rank),
            (std::vector<int64_t>{7, 3, 16}));
  outputs.clear();
  EXPECT_EQ(named_.Outputs("nsa_compress", &outputs, &count), TAMIS_OK) << "the number alone";
  EXPECT_EQ(count, 1);
}

// --- what a caller can do wrong ---------------------------------------------------------------

TEST_F(CApi, ARequiredNumberThatIsNotSetIsNamed) {
  tamis_nsa_compress_attention_params params;
  ASSERT_EQ(tamis_nsa_compress_attention_params_init(&params), TAMIS_OK);
  EXPECT_TRUE(std::isnan(params.scale_value));
  const auto refused = [&] {
    EXPECT_EQ(tamis_nsa_compress_attention_plan(nullptr, &params, &plan_), TAMIS_NULL_ARGUMENT);
    return std::string(tamis_last_error());
  };
  params.head_num = 4;
  EXPECT_EQ(refused(), "scale_value: required, but absent");
  params.scale_value = 0.125;
  EXPECT_EQ(refused(), "compress_block_size: required, but absent");
  params.compress_block_size = 8;
  params.compress_stride = 4;
  params.select_block_size = 16;
  EXPECT_EQ(refused(), "select_block_count: required, but absent");
}

TEST_F(CApi, NullPointersAreNamed) {
  EXPECT_EQ(tamis_nsa_compress_plan(nullptr, &params_, nullptr), TAMIS_NULL_ARGUMENT);
  EXPECT_STREQ(tamis_last_error(), "plan: required, but absent");
  ExpectRefused(tamis_nsa_compress_plan(nullptr, nullptr, &plan_), TAMIS_NULL_ARGUMENT, "params: ");
  EXPECT_EQ(tamis_nsa_compress_params_init(nullptr), TAMIS_NULL_ARGUMENT);
  EXPECT_STREQ(tamis_last_error(), "params: required, but absent");
  EXPECT_EQ(named_.Plan("nsa_compress", nullptr), TAMIS_NULL_ARGUMENT);
  EXPECT_STREQ(tamis_last_error(), "plan: required, but absent");
  ExpectRefused(named_.Plan(nullptr, &plan_), TAMIS_NULL_ARGUMENT, "operator_name: ");
  EXPECT_EQ(tamis_plan_run(nullptr, nullptr, 0, nullptr), TAMIS_NULL_ARGUMENT);
  EXPECT_STREQ(tamis_last_error(), "plan: required, but absent");
  EXPECT_EQ(tamis_plan_workspace_bytes(nullptr), -1);
  EXPECT_STREQ(tamis_last_error(), "plan: required, but absent");
  EXPECT_EQ(tamis_plan_explanation(nullptr), nullptr);
  EXPECT_EQ(tamis_describe(nullptr), nullptr);
  EXPECT_STREQ(tamis_last_error(), "operator_name: required, but absent");
  std::vector<tamis_output> outputs;
  EXPECT_EQ(named_.Outputs("nsa_compress", &outputs, nullptr), TAMIS_NULL_ARGUMENT);
  EXPECT_STREQ(tamis_last_error(), "count: required, but absent");
  int64_t count = 0;
  EXPECT_EQ(tamis_outputs_by_name("nsa_compress", named_.tensors.data(), 2, nullptr, 0, nullptr, 1,
                                  &count),
            TAMIS_NULL_ARGUMENT);
  EXPECT_STREQ(tamis_last_error(), "outputs: required, but absent");
  tamis_plan_destroy(nullptr);
  tamis_context_destroy(nullptr);
}

TEST_F(CApi, ArraysMustMatchTheirCounts) {
  const auto plan = [&](const tamis_named_tensor* t, int64_t nt, const tamis_named_attribute* a,
                        int64_t na) {
    return tamis_plan_by_name(nullptr, "nsa_compress", t, nt, a, na, &plan_);
  };
  ExpectRefused(plan(nullptr, 3, named_.attributes.data(), 3), TAMIS_NULL_ARGUMENT, "tensors: ");
  ExpectRefused(plan(named_.tensors.data(), 3, nullptr, 3), TAMIS_NULL_ARGUMENT, "attributes: ");
  ExpectRefused(plan(named_.tensors.data(), -1, nullptr, 0), TAMIS_INVALID_ARGUMENT, "tensors");
  ExpectRefused(plan(named_.tensors.data(), 3, named_.attributes.data(), -1),
                TAMIS_INVALID_ARGUMENT, "attributes");
  ExpectRefused(plan(nullptr, 0, nullptr, 0), TAMIS_NULL_ARGUMENT, "act_seq_len: ");
}

TEST_F(CApi, NamesMustBeKnown) {
  ExpectRefused(named_.Plan("nsa_express", &plan_), TAMIS_INVALID_ARGUMENT,
                "operator: expected one of nsa_compress,");
  EXPECT_EQ(tamis_describe("nsa_express"), nullptr);
  EXPECT_EQ(std::string(tamis_last_error()).rfind("operator: expected one of", 0), 0U);
  const Named sound = named_;
  named_.tensors[0].name = "inputs";
  ExpectNamedRefused(TAMIS_INVALID_ARGUMENT, "inputs: expected an argument of nsa_compress");
  named_ = sound;
  named_.attributes[1].name = "compress_block";
  ExpectNamedRefused(TAMIS_INVALID_ARGUMENT, "compress_block: expected an argument of");
  named_ = sound;
  named_.tensors[1].name = nullptr;
  ExpectNamedRefused(TAMIS_NULL_ARGUMENT, "tensors[1].name: ");
  named_ = sound;
  named_.attributes[2].name = nullptr;
  ExpectNamedRefused(TAMIS_NULL_ARGUMENT, "attributes[2].name: ");
}

TEST_F(CApi, NothingIsGivenTwice) {
  const Named sound = named_;
  named_.Int("compress_stride", 4);
  ExpectNamedRefused(TAMIS_INVALID_ARGUMENT, "compress_stride: expected to be given once");
  named_ = sound;
  named_.Add("input", params_.input);
  ExpectNamedRefused(TAMIS_INVALID_ARGUMENT, "input: expected to be given once");
}

TEST_F(CApi, TagsMustFit) {
  const Named sound = named_;
  const auto refused = [&](const std::string& start) {
    ExpectNamedRefused(TAMIS_INVALID_ARGUMENT, start);
    named_ = sound;
  };
  named_.attributes[1].type = TAMIS_ATTRIBUTE_FLOAT;
  refused("compress_block_size: expected an integer");
  named_.attributes[1].type = TAMIS_ATTRIBUTE_STRING;
  named_.attributes[1].value.as_string = "8";
  refused("compress_block_size: expected an integer");
  for (const int32_t tag : {0, 6, -1}) {
    named_.attributes[1].type = tag;
    refused("compress_block_size: expected a type of 1 to 5");
  }
  named_.Int("strict", 1);
  refused("strict: expected a boolean");
  named_.Bool("strict", 2);
  refused("strict: expected 0 or 1");
  named_.String("layout", "BSND");
  refused("layout: expected TND, got BSND");
  named_.Int("layout", 0);
  refused("layout: expected a string");
  named_.String("input", "x");
  refused("input: expected a tensor");
  named_.Add("layout", params_.input);
  refused("layout: expected a string, got a tensor");
  named_.attributes[0].value.as_ints.size = -1;
  refused("act_seq_len: expected a list size of at least 0, got -1");
  named_.attributes[0].value.as_ints.data = nullptr;
  ExpectNamedRefused(TAMIS_NULL_ARGUMENT, "act_seq_len: expected data");
  named_ = sound;
  named_.String("layout", nullptr);
  ExpectNamedRefused(TAMIS_NULL_ARGUMENT, "layout: ");
}

TEST_F(CApi, RequiredArgumentsMustBeGiven) {
  const Named sound = named_;
  named_.attributes[0].value.as_ints = {nullptr, 0};
  ExpectNamedRefused(TAMIS_NULL_ARGUMENT, "act_seq_len: required");
  named_ = sound;
  for (size_t i = 0; i < sound.attributes.size(); ++i) {
    named_.attributes.erase(named_.attributes.begin() + static_cast<std::ptrdiff_t>(i));
    ExpectNamedRefused(TAMIS_NULL_ARGUMENT, std::string(sound.attributes[i].name) + ": required");
    named_ = sound;
  }
  for (size_t i = 0; i < sound.tensors.size(); ++i) {
    named_.tensors.erase(named_.tensors.begin() + static_cast<std::ptrdiff_t>(i));
    ExpectNamedRefused(TAMIS_NULL_ARGUMENT, std::string(sound.tensors[i].name) + ": required");
    named_ = sound;
  }
  named_.attributes[0].value.as_ints = {nullptr, 0};  // an absent list, as in the typed call
  ExpectNamedRefused(TAMIS_NULL_ARGUMENT, "act_seq_len: required");
}

TEST_F(CApi, TypedMembersAreChecked) {
  const tamis_nsa_compress_params sound = params_;
  const auto refused = [&](tamis_status status, const std::string& start) {
    ExpectTypedRefused(status, start);
    params_ = sound;
  };
  params_.strict = 2;
  refused(TAMIS_INVALID_ARGUMENT, "strict: expected 0 or 1, got 2");
  params_.layout = "BSND";
  refused(TAMIS_INVALID_ARGUMENT, "layout: expected TND, got BSND");
  params_.act_seq_len = {};
  refused(TAMIS_NULL_ARGUMENT, "act_seq_len: required");
  params_.act_seq_len.data = nullptr;
  refused(TAMIS_NULL_ARGUMENT, "act_seq_len: expected data");
  params_.act_seq_len.size = -2;
  refused(TAMIS_INVALID_ARGUMENT, "act_seq_len: expected a list size");
  params_.input = {};
  refused(TAMIS_NULL_ARGUMENT, "input: required");
  params_.input = tamis_dense_tensor(input_.data(), TAMIS_BFLOAT16, 9, nullptr);
  refused(TAMIS_INVALID_ARGUMENT, "input: expected a rank");
  params_.input = tamis_dense_tensor(input_.data(), TAMIS_BFLOAT16, 3, nullptr);
  refused(TAMIS_INVALID_ARGUMENT, "input: expected a rank");
  params_.compress_stride = 9;
  refused(TAMIS_INVALID_ARGUMENT, "compress_stride: expected at most");
}

TEST_F(CApi, WorkspaceAndStreamAreChecked) {
  ASSERT_EQ(tamis_nsa_compress_plan(nullptr, &params_, &plan_), TAMIS_OK);
  int stream = 0;
  EXPECT_EQ(tamis_plan_run(plan_, nullptr, 0, &stream), TAMIS_INVALID_ARGUMENT);
  EXPECT_EQ(std::string(tamis_last_error()).rfind("stream: ", 0), 0U);
  const int64_t bytes = tamis_plan_workspace_bytes(plan_);
  std::vector<unsigned char> memory(static_cast<size_t>(bytes) + 128);
  auto* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
  EXPECT_EQ(tamis_plan_run(plan_, aligned + 1, bytes, nullptr), TAMIS_INVALID_ARGUMENT);
  EXPECT_EQ(tamis_plan_run(plan_, aligned, bytes - 1, nullptr), TAMIS_INVALID_ARGUMENT);
  EXPECT_EQ(std::string(tamis_last_error()).rfind("workspace: ", 0), 0U);
  EXPECT_EQ(output_, Halves(output_.size(), 0xAAAA));
  EXPECT_EQ(tamis_plan_run(plan_, aligned, bytes, nullptr), TAMIS_OK) << tamis_last_error();
  EXPECT_NE(output_, Halves(output_.size(), 0xAAAA));
  tamis_plan_destroy(plan_);
}

// --- sizes of structs -------------------------------------------------------------------------

TEST_F(CApi, ASizeThatNoHeaderHadIsRefused) {
  for (const size_t size : {size_t{0}, size_t{7}, sizeof(size_t) + 1, sizeof(params_) - 1,
                            std::numeric_limits<size_t>::max()}) {
    params_.struct_size = size;
    ExpectTypedRefused(TAMIS_INVALID_ARGUMENT, "struct_size: expected sizeof(tamis_nsa_compress");
    EXPECT_EQ(tamis_nsa_compress_params_init_sized(&params_, size), TAMIS_INVALID_ARGUMENT) << size;
  }
}

// nsa_compress as a header might lay it out that knows one member more than an earlier one did.
struct Reordered {
  size_t struct_size;
  tamis_tensor input, weight, output;
  tamis_int_list act_seq_len;
  int64_t compress_block_size, compress_stride;
  const char* layout;
  int64_t act_seq_len_type;
  int64_t strict;  // the new one
};
constexpr Member kReorderedMembers[] = {
    {"input", base::Type::kTensor, offsetof(Reordered, input)},
    {"weight", base::Type::kTensor, offsetof(Reordered, weight)},
    {"act_seq_len", base::Type::kInts, offsetof(Reordered, act_seq_len)},
    {"compress_block_size", base::Type::kInt, offsetof(Reordered, compress_block_size)},
    {"compress_stride", base::Type::kInt, offsetof(Reordered, compress_stride)},
    {"layout", base::Type::kChoice, offsetof(Reordered, layout)},
    {"act_seq_len_type", base::Type::kInt, offsetof(Reordered, act_seq_len_type)},
    {"strict", base::Type::kBool, offsetof(Reordered, strict)},
    {"output", base::Type::kTensor, offsetof(Reordered, output)},
};
constexpr Typed kReordered = {"nsa_compress", kReorderedMembers, sizeof(Reordered)};

TEST_F(CApi, MembersThatAnOlderCallerLacksKeepTheirDefaults) {
  Reordered older;
  std::memset(static_cast<void*>(&older), 0xEE, sizeof(older));
  ASSERT_EQ(InitParams(kReordered, &older, offsetof(Reordered, strict)), TAMIS_OK);
  EXPECT_EQ(older.struct_size, offsetof(Reordered, strict));
  EXPECT_EQ(older.strict, static_cast<int64_t>(0xEEEEEEEEEEEEEEEE)) << "not the caller's memory";
  EXPECT_EQ(older.layout, nullptr);
  older.input = params_.input;
  older.weight = params_.weight;
  older.output = params_.output;
  older.act_seq_len = params_.act_seq_len;
  older.compress_block_size = 8;
  older.compress_stride = 4;  // strict wants multiples of 16
  RunAndDestroy(PlanTyped(kReordered, nullptr, &older, &plan_), &plan_);
  older.struct_size = sizeof(older);
  older.strict = 1;
  EXPECT_EQ(PlanTyped(kReordered, nullptr, &older, &plan_), TAMIS_INVALID_ARGUMENT);
  EXPECT_EQ(std::string(tamis_last_error()).rfind("compress_block_size: expected (strict)", 0), 0U)
      << tamis_last_error();
}

TEST_F(CApi, MembersOfANewerCallerMustBeZero) {
  struct Newer {
    tamis_nsa_compress_params known;
    int64_t unknown;
  } newer;
  ASSERT_EQ(tamis_nsa_compress_params_init_sized(&newer.known, sizeof(newer)), TAMIS_OK);
  EXPECT_EQ(newer.unknown, 0);
  newer.known = params_;
  newer.known.struct_size = sizeof(newer);
  RunAndDestroy(tamis_nsa_compress_plan(nullptr, &newer.known, &plan_), &plan_);
  output_.assign(output_.size(), 0xAAAA);
  newer.unknown = 1;
  plan_ = Poison();
  ExpectRefused(tamis_nsa_compress_plan(nullptr, &newer.known, &plan_), TAMIS_INVALID_ARGUMENT,
                "struct_size: expected zeros");
}

TEST(CApiGenerated, StructsAgreeWithTheContracts) {
  ASSERT_EQ(AllTyped().size(), registry::Operators().size()) << "run `dev generate`";
  for (size_t i = 0; i < AllTyped().size(); ++i) {
    const Status status = CheckFresh(AllTyped()[i], *registry::Operators()[i].contract);
    EXPECT_TRUE(status.ok()) << status.message();
  }
}

TEST(CApiGenerated, AStaleStructIsRefusedBeforeItIsRead) {
  const Typed stale = {"nsa_compress", std::span(kReorderedMembers).first(8), sizeof(Reordered)};
  Reordered params = {};
  params.struct_size = sizeof(params);
  tamis_plan* plan = nullptr;
  EXPECT_EQ(PlanTyped(stale, nullptr, &params, &plan), TAMIS_INTERNAL_ERROR);
  EXPECT_NE(std::string(tamis_last_error()).find("dev generate"), std::string::npos);
}

TEST(CApiGenerated, InitSetsTheDefaultsOfTheContract) {
  alignas(16) unsigned char memory[8192];
  for (const Typed& typed : AllTyped()) {
    ASSERT_LE(typed.size, sizeof(memory));
    std::memset(memory, 0xEE, sizeof(memory));
    ASSERT_EQ(InitParams(typed, memory, typed.size), TAMIS_OK) << tamis_last_error();
    const base::Contract& contract = *registry::Find(typed.operator_name)->contract;
    for (const Member& member : typed.members) {
      const std::string want = registry::DefaultJson(contract, *contract.Find(member.name));
      int64_t whole = 0;
      double number = 0;
      std::memcpy(&whole, memory + member.offset, sizeof(whole));
      std::memcpy(&number, memory + member.offset, sizeof(number));
      const std::string where = std::string(typed.operator_name) + "." + member.name;
      switch (member.type) {
        case base::Type::kInt: EXPECT_EQ(std::to_string(whole), want) << where; break;
        case base::Type::kBool: EXPECT_EQ(whole, want == "true" ? 1 : 0) << where; break;
        case base::Type::kFloat:
          EXPECT_TRUE(number == std::stod(want) || (want == "nan" && std::isnan(number))) << where;
          break;
        default: EXPECT_EQ(whole, 0) << where;  // a null pointer
      }
    }
    EXPECT_EQ(memory[typed.size], 0xEE) << typed.operator_name << ": wrote past the struct";
  }
}

// --- context, listing, errors -----------------------------------------------------------------

TEST_F(CApi, ContextsAreCheckedAndUsed) {
  EXPECT_EQ(tamis_context_create(nullptr), TAMIS_NULL_ARGUMENT);
  for (const tamis_status status :
       {tamis_context_set_threads(nullptr, 1), tamis_context_set_level(nullptr, 1),
        tamis_context_set_implementation(nullptr, 1),
        tamis_context_set_executor(nullptr, nullptr, nullptr)}) {
    EXPECT_EQ(status, TAMIS_NULL_ARGUMENT);
    EXPECT_STREQ(tamis_last_error(), "context: required, but absent");
  }
  tamis_context* context = nullptr;
  ASSERT_EQ(tamis_context_create(&context), TAMIS_OK);
  for (const int32_t bad : {-1, 7}) {
    EXPECT_EQ(tamis_context_set_level(context, bad), TAMIS_INVALID_ARGUMENT);
    EXPECT_EQ(tamis_context_set_implementation(context, bad), TAMIS_INVALID_ARGUMENT);
  }
  EXPECT_EQ(tamis_context_set_threads(context, -1), TAMIS_INVALID_ARGUMENT);
  EXPECT_EQ(tamis_context_set_threads(context, 1025), TAMIS_INVALID_ARGUMENT);
  EXPECT_STREQ(tamis_last_error(), "threads: expected 0 to 1024, got 1025");
  EXPECT_EQ(tamis_context_set_threads(context, 0), TAMIS_OK);
  EXPECT_EQ(tamis_context_set_level(context, TAMIS_LEVEL_SCALAR), TAMIS_OK);
  ASSERT_EQ(tamis_nsa_compress_plan(context, &params_, &plan_), TAMIS_OK) << tamis_last_error();
  EXPECT_NE(std::string(tamis_plan_explanation(plan_)).find("scalar"), std::string::npos);
  tamis_plan_destroy(plan_);
  plan_ = nullptr;
  EXPECT_EQ(tamis_context_set_implementation(context, TAMIS_IMPLEMENTATION_CUDA), TAMIS_OK);
  ExpectRefused(tamis_nsa_compress_plan(context, &params_, &plan_), TAMIS_UNSUPPORTED,
                "implementation: ");
  tamis_context_destroy(context);
}

TEST(CApiListing, NamesAndDescriptionsAreThoseOfTheRegistry) {
  ASSERT_EQ(tamis_operator_count(), static_cast<int64_t>(registry::Operators().size()));
  for (int64_t i = 0; i < tamis_operator_count(); ++i) {
    const base::Operator& op = registry::Operators()[static_cast<size_t>(i)];
    EXPECT_EQ(tamis_operator_name(i), op.contract->name);
    EXPECT_EQ(tamis_describe(tamis_operator_name(i)), registry::DescribeJson(op));
    EXPECT_EQ(tamis_describe(tamis_operator_name(i)), tamis_describe(tamis_operator_name(i)))
        << "static storage";
  }
  for (const int64_t index : {int64_t{-1}, tamis_operator_count()}) {
    EXPECT_EQ(tamis_operator_name(index), nullptr);
    EXPECT_EQ(std::string(tamis_last_error()).rfind("index: expected 0 to ", 0), 0U);
  }
  EXPECT_STREQ(tamis_version(), version());
}

TEST(CApiErrors, EveryStatusHasAName) {
  const std::map<tamis_status, std::string> names = {{TAMIS_OK, "ok"},
                                                     {TAMIS_UNSUPPORTED, "unsupported"},
                                                     {TAMIS_NO_MEMORY, "no_memory"},
                                                     {TAMIS_DEVICE_ERROR, "device"},
                                                     {TAMIS_INTERNAL_ERROR, "internal"},
                                                     {TAMIS_NULL_ARGUMENT, "null_argument"},
                                                     {TAMIS_INVALID_ARGUMENT, "invalid_argument"},
                                                     {5, "unknown"},
                                                     {-1, "unknown"}};
  for (const auto& [status, name] : names) EXPECT_EQ(tamis_status_name(status), name);
}

TEST(CApiErrors, NoExceptionCrosses) {
  EXPECT_EQ(Guard([]() -> Status { throw std::bad_alloc(); }), TAMIS_NO_MEMORY);
  EXPECT_EQ(Guard([]() -> Status { throw std::length_error("x"); }), TAMIS_NO_MEMORY);
  EXPECT_EQ(Guard([]() -> Status { throw 7; }), TAMIS_INTERNAL_ERROR);
  EXPECT_STRNE(tamis_last_error(), "");
}

TEST(CApiErrors, MessagesBelongToTheirThread) {
  EXPECT_EQ(tamis_describe("no such"), nullptr);
  const std::string here = tamis_last_error();
  std::thread([] {
    EXPECT_STREQ(tamis_last_error(), "");
    EXPECT_EQ(tamis_describe(nullptr), nullptr);
  }).join();
  EXPECT_EQ(tamis_last_error(), here);
  EXPECT_NE(tamis_operator_name(0), nullptr);
  EXPECT_STREQ(tamis_last_error(), "") << "success leaves no message";
}

TEST(CApiErrors, HostileNamesGiveOneLineOfBoundedLength) {
  EXPECT_EQ(tamis_describe("two\nlines\r"), nullptr);
  EXPECT_EQ(std::string(tamis_last_error()).find_first_of("\r\n"), std::string::npos);
  EXPECT_EQ(tamis_describe(std::string(100000, 'x').c_str()), nullptr);
  EXPECT_LT(std::strlen(tamis_last_error()), 2000U);
}

}  // namespace
}  // namespace tamis::capi
