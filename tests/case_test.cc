// Case files: what a call by file may say, and what is refused.
#include "tools/tamis/case.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/dtype.h"
#include "tools/tamis/example.h"

namespace tamis::tools {
namespace {

constexpr char kAttrs[] = R"({"act_seq_len": [3], "compress_block_size": 2, "compress_stride": 1})";

// Three tokens of one head of four, windows of two.
class SmallCase {
 public:
  SmallCase() {
    data.op = "nsa_compress";
    data.attrs = kAttrs;
    data.inputs = {{"input", DType::kFloat16, {3, 1, 4}, input_, sizeof(input_)},
                   {"weight", DType::kFloat16, {2, 1}, weight_, sizeof(weight_)}};
  }
  CaseData data;

 private:
  uint16_t input_[12] = {};
  uint16_t weight_[2] = {};
};

void ExpectRefused(const CaseData& data, const std::string& message_begin) {
  const Result<registry::Call> call = BuildCall(data);
  ASSERT_FALSE(call.ok()) << "expected: " << message_begin;
  EXPECT_EQ(call.status().message().rfind(message_begin, 0), 0u) << call.status().message();
}

void ExpectAttrsRefused(const std::string& attrs, const std::string& message_begin) {
  SmallCase small;
  small.data.attrs = attrs;
  ExpectRefused(small.data, message_begin);
}

std::string WithAttr(const std::string& extra) {
  std::string attrs = kAttrs;
  attrs.pop_back();
  return attrs + ", " + extra + "}";
}

TEST(Case, BuildsACall) {
  SmallCase small;
  Result<registry::Call> call = BuildCall(small.data);
  ASSERT_TRUE(call.ok()) << call.status().message();
  const auto outputs = call->Outputs();
  ASSERT_TRUE(outputs.ok()) << outputs.status().message();
  EXPECT_EQ((*outputs)[0].shape, (std::vector<int64_t>{2, 1, 4}));
}

TEST(Case, UnknownOperatorIsRefused) {
  SmallCase small;
  small.data.op = "nsa_compres";
  ExpectRefused(small.data, "operator: expected one of nsa_compress");
}

TEST(Case, UnknownAttributeIsRefused) {
  ExpectAttrsRefused(WithAttr("\"stride\": 1"), "stride: expected an argument of nsa_compress");
}

TEST(Case, MissingAttributeIsRefused) {
  ExpectAttrsRefused(R"({"act_seq_len": [3], "compress_block_size": 2})",
                     "compress_stride: required");
  ExpectAttrsRefused("{}", "act_seq_len: required");
}

TEST(Case, AttributeGivenTwiceIsRefused) {
  ExpectAttrsRefused(WithAttr("\"compress_stride\": 1"), "compress_stride: expected to be given");
}

TEST(Case, AttributesOfAnotherTypeAreRefused) {
  ExpectAttrsRefused(R"({"act_seq_len": [3], "compress_block_size": 2.0, "compress_stride": 1})",
                     "compress_block_size: expected an integer, got a number");
  ExpectAttrsRefused(R"({"act_seq_len": [3], "compress_block_size": true, "compress_stride": 1})",
                     "compress_block_size: expected an integer, got a boolean");
  ExpectAttrsRefused(R"({"act_seq_len": [3], "compress_block_size": "2", "compress_stride": 1})",
                     "compress_block_size: expected an integer, got a string");
  ExpectAttrsRefused(R"({"act_seq_len": [3], "compress_block_size": [2], "compress_stride": 1})",
                     "compress_block_size: expected an integer, got a list");
  ExpectAttrsRefused(R"({"act_seq_len": 3, "compress_block_size": 2, "compress_stride": 1})",
                     "act_seq_len: expected a list of integers, got an integer");
  ExpectAttrsRefused(R"({"act_seq_len": [3.0], "compress_block_size": 2, "compress_stride": 1})",
                     "act_seq_len: expected a list of integers, got a number in it");
  ExpectAttrsRefused(R"({"act_seq_len": [true], "compress_block_size": 2, "compress_stride": 1})",
                     "act_seq_len: expected a list of integers, got a boolean in it");
  ExpectAttrsRefused(WithAttr("\"strict\": 1"), "strict: expected a boolean, got an integer");
  ExpectAttrsRefused(WithAttr("\"strict\": \"true\""), "strict: expected a boolean");
  ExpectAttrsRefused(WithAttr("\"strict\": null"), "strict: expected ");
  ExpectAttrsRefused(WithAttr("\"layout\": 0"), "layout: expected a string, got an integer");
  ExpectAttrsRefused(WithAttr("\"layout\": \"BSND\""), "layout: expected TND, got BSND");
  ExpectAttrsRefused(WithAttr("\"layout\": {}"), "layout: expected ");
  ExpectAttrsRefused(WithAttr("\"act_seq_len\": [[3]]"), "act_seq_len: expected ");
}

TEST(Case, AttributesAreOneJsonObject) {
  for (const char* attrs : {"", "[]", "null", "3", "\"{}\"", "{", "{}{}", "{,}", "{\"strict\"}"})
    ExpectAttrsRefused(attrs, "tamis.attrs: expected ");
  ExpectAttrsRefused("{\"\": 1}", "tamis.attrs: expected names");
  ExpectAttrsRefused(std::string(1'000'000, '['), "tamis.attrs: expected an object");
}

TEST(Case, IntegersBeyondInt64AreRefused) {
  for (const char* value :
       {"9223372036854775808", "18446744073709551617", "-9223372036854775809"}) {
    ExpectAttrsRefused(R"({"act_seq_len": [3], "compress_block_size": )" + std::string(value) + "}",
                       "compress_block_size: expected integers within int64");
    ExpectAttrsRefused("{\"act_seq_len\": [" + std::string(value) + "]}",
                       "act_seq_len: expected integers within int64");
  }
}

TEST(Case, AnIntegerIsAValidNumberAndANumberNoInteger) {
  Result<registry::Call> call = registry::Call::Of("nsa_compress_attention");
  ASSERT_TRUE(call.ok());
  EXPECT_TRUE(SetAttributes(R"({"scale_value": 1})", false, &*call).ok());
  const base::Field* scale = call->contract().Find("scale_value");
  EXPECT_EQ(base::Contract::At<const double>(call->params(), *scale), 1.0);
  EXPECT_FALSE(SetAttributes(R"({"head_num": 64.0})", false, &*call).ok());
  EXPECT_FALSE(SetAttributes(R"({"head_num": 6.4e1})", false, &*call).ok());
}

TEST(Case, UnknownTensorIsRefused) {
  SmallCase small;
  small.data.inputs.push_back(small.data.inputs[1]);
  small.data.inputs.back().name = "weights";
  ExpectRefused(small.data, "weights: expected an input of nsa_compress (input, weight)");
}

TEST(Case, OutputWithoutThePrefixIsRefused) {
  SmallCase small;
  small.data.inputs.push_back(small.data.inputs[0]);
  small.data.inputs.back().name = "output";
  ExpectRefused(small.data,
                "output: expected an input of nsa_compress (input, weight), got an "
                "output (known results are named expected.output)");
}

TEST(Case, AttributeAsTensorIsRefused) {
  SmallCase small;
  small.data.inputs.push_back(small.data.inputs[0]);
  small.data.inputs.back().name = "compress_stride";
  ExpectRefused(small.data, "compress_stride: expected an input");
}

TEST(Case, MissingTensorIsRefused) {
  SmallCase small;
  small.data.inputs.pop_back();
  ExpectRefused(small.data, "weight: required");
}

TEST(Case, StrictOverridesWhatTheCaseSays) {
  for (const std::string& attrs :
       {std::string(kAttrs), WithAttr("\"strict\": false"), WithAttr("\"strict\": true")}) {
    SmallCase small;
    small.data.attrs = attrs;
    Result<registry::Call> call = BuildCall(small.data, true);
    ASSERT_TRUE(call.ok()) << call.status().message();
    const auto outputs = call->Outputs();  // a dimension of 4 is no multiple of 16
    ASSERT_FALSE(outputs.ok());
    EXPECT_NE(outputs.status().message().find("(strict)"), std::string::npos);
  }
}

TEST(Case, ExpectedTensorsMustFitTheOutputs) {
  SmallCase small;
  Result<registry::Call> call = BuildCall(small.data);
  ASSERT_TRUE(call.ok());
  const auto check = [&](const std::string& name, DType dtype, std::vector<int64_t> shape) {
    return registry::CheckExpected(call->op(), call->params(),
                                   {{name, TensorView(nullptr, dtype, shape)}});
  };
  EXPECT_TRUE(check("output", DType::kFloat16, {2, 1, 4}).ok());
  EXPECT_TRUE(check("output", DType::kFloat32, {2, 1, 4}).ok());
  EXPECT_FALSE(check("output", DType::kInt32, {2, 1, 4}).ok());
  EXPECT_FALSE(check("output", DType::kFloat16, {2, 4}).ok());
  EXPECT_FALSE(check("output", DType::kFloat16, {3, 1, 4}).ok());
  EXPECT_FALSE(check("outptu", DType::kFloat16, {2, 1, 4}).ok());
  EXPECT_FALSE(check("input", DType::kFloat16, {3, 1, 4}).ok());
}

TEST(Case, FilesNeedAnOperatorAndKnowThreeKeys) {
  const std::string path = testing::TempDir() + "case_test.safetensors";
  const auto read = [&](const std::map<std::string, std::string>& metadata) {
    EXPECT_TRUE(WriteSafetensors(path, metadata, {}).ok());
    return ReadCase(path);
  };
  EXPECT_TRUE(read({{"tamis.op", "x"}}).ok());
  EXPECT_TRUE(read({{"tamis.op", "x"}, {"format", "pt"}}).ok());
  EXPECT_FALSE(read({{"format", "pt"}}).ok());
  EXPECT_FALSE(read({{"tamis.op", "x"}, {"tamis.attr", "{}"}}).ok());
  std::filesystem::remove(path);
}

TEST(Case, WrittenCasesReadBackTheSame) {
  const std::string path = testing::TempDir() + "case_test_round_trip.safetensors";
  SmallCase small;
  small.data.source = "by hand";
  uint16_t result[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  small.data.expected = {{"output", DType::kFloat16, {2, 1, 4}, result, sizeof(result)}};
  ASSERT_TRUE(WriteCase(path, small.data).ok());
  const Result<CaseData> read = ReadCase(path);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->op, small.data.op);
  EXPECT_EQ(read->attrs, small.data.attrs);
  EXPECT_EQ(read->source, small.data.source);
  ASSERT_EQ(read->inputs.size(), 2u);
  ASSERT_EQ(read->expected.size(), 1u);
  EXPECT_EQ(read->expected[0].name, "output");
  EXPECT_EQ(std::memcmp(read->expected[0].data, result, sizeof(result)), 0);
  std::filesystem::remove(path);
}

// --- the examples -------------------------------------------------------------------------------

TEST(Example, EveryExampleMakesACallThatPlans) {
  for (const base::Operator& op : registry::Operators()) {
    for (const base::Example& example : *op.examples) {
      int64_t elems = 0;
      for (const auto& tensor : example.tensors) {
        int64_t size = 1;
        for (int64_t extent : tensor.shape) size *= extent;
        elems += size;
      }
      if (elems > 100'000'000) continue;  // `tamis bench` meets the large ones
      const Result<CaseData> data = MakeExample(op, example, DType::kBFloat16, 1, 2);
      ASSERT_TRUE(data.ok()) << example.name << ": " << data.status().message();
      Result<registry::Call> call = BuildCall(*data);
      ASSERT_TRUE(call.ok()) << example.name << ": " << call.status().message();
      const Result<Outputs> outputs = AllocateOutputs(&*call);
      ASSERT_TRUE(outputs.ok()) << example.name << ": " << outputs.status().message();
      const Result<Plan> plan = call->MakePlan({});
      EXPECT_TRUE(plan.ok()) << op.contract->name << " " << example.name << ": "
                             << plan.status().message();
    }
  }
}

const base::Operator& Compress() { return *registry::Find("nsa_compress"); }

TEST(Example, ValuesDependOnTheSeedAndNotOnTheThreads) {
  const base::Example& example = **FindExample(Compress(), "ragged");
  const auto make = [&](uint64_t seed, int32_t threads) {
    const Result<CaseData> data = MakeExample(Compress(), example, DType::kFloat16, seed, threads);
    const StoredTensor& input = data->inputs.front();
    return std::string(static_cast<const char*>(input.data), static_cast<size_t>(input.bytes));
  };
  EXPECT_EQ(make(1, 1), make(1, 7));
  EXPECT_NE(make(1, 1), make(2, 1));
}

TEST(Example, NormalValuesHaveTheMomentsOfTheStandardNormal) {
  base::Example example = **FindExample(Compress(), "ragged");
  example.tensors = {{"input", {1000, 10, 100}}};
  const Result<CaseData> data = MakeExample(Compress(), example, DType::kFloat16, 1, 2);
  ASSERT_TRUE(data.ok()) << data.status().message();
  constexpr int kCount = 1'000'000;
  double sums[5] = {};
  for (int i = 0; i < kCount; ++i) {
    const double x = base::LoadAsDouble(data->inputs[0].data, DType::kFloat16, i);
    for (int power = 1; power <= 4; ++power) sums[power] += std::pow(x, power) / kCount;
  }
  // Five standard errors of the mean of a million: sqrt(var(x^k)) / 1000 with variances 1, 2,
  // 15, 96.
  EXPECT_NEAR(sums[1], 0, 5e-3 * 1.0);
  EXPECT_NEAR(sums[2], 1, 5e-3 * 1.42);
  EXPECT_NEAR(sums[3], 0, 5e-3 * 3.88);
  EXPECT_NEAR(sums[4], 3, 5e-3 * 9.8);
}

TEST(Example, UnknownShapesAreRefusedWithTheKnownOnes) {
  const auto found = FindExample(Compress(), "huge");
  ASSERT_FALSE(found.ok());
  EXPECT_NE(found.status().message().find("ragged"), std::string::npos);
}

}  // namespace
}  // namespace tamis::tools
