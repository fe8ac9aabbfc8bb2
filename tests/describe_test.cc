// A contract as programs and as people read it.
#include "registry/describe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <utility>

#include "registry/argument_text.h"
#include "registry/json.h"
#include "registry/registry.h"
#include "tools/describe/markdown.h"
#include "tools/describe/text.h"

namespace tamis::registry {
namespace {

using describe::DescribeAllText;
using describe::DescribeMarkdown;
using describe::DescribeText;

// A strict reader of JSON that keeps nothing: whether `text` is one value and no more.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}
  bool IsOneValue() { return Value() && text_.empty(); }

 private:
  bool Take(std::string_view token) {
    if (text_.substr(0, token.size()) != token) return false;
    text_.remove_prefix(token.size());
    return true;
  }
  bool String() {
    if (!Take("\"")) return false;
    while (!text_.empty() && text_[0] != '"') {
      if (static_cast<unsigned char>(text_[0]) < 0x20) return false;
      const size_t size = text_[0] != '\\' ? 1 : text_.substr(1, 1) == "u" ? 6 : 2;
      if (size == 2 && std::string_view("\"\\").find(text_[1]) == std::string_view::npos)
        return false;
      text_.remove_prefix(std::min(size, text_.size()));
    }
    return Take("\"");
  }
  bool Number() {
    size_t size = 0;
    while (size < text_.size() &&
           (std::isdigit(static_cast<unsigned char>(text_[size])) != 0 ||
            std::string_view("+-.e").find(text_[size]) != std::string_view::npos)) {
      ++size;
    }
    const bool digit_first =
        size > 0 && std::isdigit(static_cast<unsigned char>(text_[text_[0] == '-' ? 1 : 0])) != 0;
    text_.remove_prefix(size);
    return digit_first;
  }
  template <class Item>
  bool Sequence(std::string_view close, Item&& item) {
    if (Take(close)) return true;
    do {
      if (!item()) return false;
    } while (Take(","));
    return Take(close);
  }
  bool Value() {
    if (Take("{")) return Sequence("}", [&] { return String() && Take(":") && Value(); });
    if (Take("[")) return Sequence("]", [&] { return Value(); });
    if (Take("true") || Take("false") || Take("null")) return true;
    return text_.substr(0, 1) == "\"" ? String() : Number();
  }

  std::string_view text_;
};

bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct Odd {
  TensorView input;
  int64_t count = -3;
  double scale = 1.0 / 24;
  bool flag = true;
  enum class Kind : int32_t { kFirst = 0, kSecond = 1 } kind = Kind::kSecond;
  IntList lengths;
  int64_t needed = 0;
  bool strict = false;
  OutputView output;
};

base::Contract OddContract() {
  return base::ContractBuilder<Odd>("odd", "quotes \" and \\ and a\nline", "a|b")
      .Input("input", &Odd::input, {.shape = "N | *", .doc = "x | y", .dtypes = {DType::kInt8}})
      .Optional("count", &Odd::count, "a count")
      .Optional("scale", &Odd::scale, "a scale")
      .Optional("flag", &Odd::flag, "a flag")
      .Choice("kind", &Odd::kind, {"first", "second"}, "a kind")
      .Optional("lengths", &Odd::lengths, "lengths")
      .Required("needed", &Odd::needed, "needed")
      .Optional("strict", &Odd::strict, "strict")
      .Output("output", &Odd::output, {.shape = "N", .doc = "out", .dtype_as = "input"})
      .Strict("count", "count", base::Limit::Rule::kAtMost, {"7"})
      .Envelope({"the device says no"})
      .Build();
}

const std::vector<base::Example>& NoExamples() {
  static const std::vector<base::Example> kNone;
  return kNone;
}

base::Operator OperatorOf(const base::Contract& contract) {
  base::Operator op;
  op.contract = &contract;
  op.examples = &NoExamples();
  return op;
}

TEST(Describe, JsonStringsEscapeWhatJsonForbids) {
  EXPECT_EQ(JsonString("a\"b\\c\n\x01\x7f"), "\"a\\\"b\\\\c\\u000a\\u0001\\u007f\"");
  EXPECT_EQ(JsonString("\xc3\xa9"), "\"\xc3\xa9\"");
}

TEST(Describe, JsonIsSound) {
  for (const base::Operator& op : Operators()) {
    EXPECT_TRUE(JsonReader(DescribeJson(op)).IsOneValue()) << DescribeJson(op);
    EXPECT_FALSE(Holds(DescribeJson(op), "\n"));
  }
  const base::Contract contract = OddContract();
  const std::string odd = DescribeJson(OperatorOf(contract));
  EXPECT_TRUE(JsonReader(odd).IsOneValue()) << odd;
  EXPECT_FALSE(JsonReader(odd + "}").IsOneValue());
}

TEST(Describe, DefaultsAreThoseOfTheParamsStruct) {
  const base::Contract contract = OddContract();
  const auto text = [&](const char* name) { return DefaultJson(contract, *contract.Find(name)); };
  EXPECT_EQ(text("count"), "-3");
  EXPECT_EQ(std::stod(text("scale")), 1.0 / 24);
  EXPECT_EQ(text("flag"), "true");
  EXPECT_EQ(text("kind"), "\"second\"");
  EXPECT_EQ(text("lengths"), "null");
  EXPECT_EQ(text("strict"), "false");
  const std::string json = DescribeJson(OperatorOf(contract));
  EXPECT_TRUE(Holds(json, "\"required\":false,\"default\":-3}")) << json;
  EXPECT_TRUE(Holds(json, "\"required\":true}")) << json;  // and no default
}

TEST(Describe, EveryTextNamesEveryArgument) {
  for (const base::Operator& op : Operators()) {
    for (const base::Field& field : op.contract->fields) {
      const std::string where = op.contract->name + "." + field.name;
      EXPECT_TRUE(Holds(DescribeJson(op), "{\"name\":\"" + field.name + "\"")) << where;
      EXPECT_TRUE(Holds(DescribeText(op), "\n  " + field.name + " ")) << where;
      EXPECT_TRUE(Holds(DescribeMarkdown(op), "\n| `" + field.name + "` | ")) << where;
      if (field.strict.contiguous) {
        EXPECT_TRUE(Holds(DescribeMarkdown(op), "\n| `" + field.name + "` | contiguous |"))
            << where;
      }
    }
    for (const base::Limit& limit : op.contract->limits)
      EXPECT_TRUE(Holds(DescribeText(op), limit.text())) << op.contract->name;
    for (const std::string& line : op.contract->envelope)
      EXPECT_TRUE(Holds(DescribeMarkdown(op), "\n* " + line)) << op.contract->name;
    for (const base::Example& example : *op.examples)
      EXPECT_TRUE(Holds(DescribeText(op), "\n  " + example.name)) << op.contract->name;
    EXPECT_TRUE(Holds(DescribeAllText(), "  " + op.contract->name + " "));
  }
}

TEST(Describe, AFieldMoreShowsUpEverywhere) {
  base::Contract contract = OddContract();
  base::Field field = *contract.Find("count");
  field.name = "newcomer";
  contract.fields.push_back(field);
  const base::Operator op = OperatorOf(contract);
  EXPECT_TRUE(Holds(DescribeJson(op), "newcomer"));
  EXPECT_TRUE(Holds(DescribeText(op), "newcomer"));
  EXPECT_TRUE(Holds(DescribeMarkdown(op), "newcomer"));
}

TEST(Describe, BarsDoNotEndTheCellsOfATable) {
  const base::Contract contract = OddContract();
  EXPECT_TRUE(Holds(DescribeMarkdown(OperatorOf(contract)), "| `[N \\| *]` | int8 | x \\| y |"))
      << DescribeMarkdown(OperatorOf(contract));
}

TEST(Describe, RulesOfStrictShowUpEverywhere) {
  base::Contract contract = OddContract();
  contract.fields.front().strict = {.presence = base::StrictRule::Presence::kRequired,
                                    .dtypes = {DType::kInt8, DType::kInt32},
                                    .contiguous = true};
  contract.fields[4].strict.default_only = true;
  const base::Operator op = OperatorOf(contract);
  EXPECT_TRUE(Holds(DescribeJson(op), "\"strict\":[\"required\",\"int8 or int32\",\"contiguous\"]"))
      << DescribeJson(op);
  EXPECT_TRUE(JsonReader(DescribeJson(op)).IsOneValue());
  EXPECT_TRUE(
      Holds(DescribeMarkdown(op), "\n| `input` | int8 or int32 |\n| `input` | contiguous |"))
      << DescribeMarkdown(op);
  EXPECT_TRUE(Holds(DescribeMarkdown(op), "\n| `kind` | = second |"));
  EXPECT_TRUE(Holds(DescribeText(op), "= second"));
}

}  // namespace
}  // namespace tamis::registry
