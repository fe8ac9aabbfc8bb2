// Where something differs, in words.
#include "registry/locate.h"

#include <gtest/gtest.h>

#include <cctype>

#include "registry/registry.h"
#include "tamis/ops/nsa_compress_attention.hpp"
#include "tamis/ops/sparse_flash_attention.hpp"

namespace tamis::registry {
namespace {

TEST(Locate, EveryDimensionOfEveryOutputHasAWord) {
  int named = 0;
  for (const base::Operator& op : Operators()) {
    for (const base::Field& field : op.contract->fields) {
      if (!field.is_output()) continue;
      for (const base::ShapeForm& form : field.shapes) {
        for (const std::string& symbol : base::SplitDims(form.dims)) {
          if (std::isdigit(static_cast<unsigned char>(symbol.front())) != 0) continue;
          EXPECT_NE(FindWord(symbol), nullptr)
              << op.contract->name << " " << field.name << ": " << symbol;
          ++named;
        }
      }
    }
  }
  EXPECT_GT(named, 60);
}

// Outputs of 300 tokens in sequences of 100, 30, 150 and 0, and 20 of padding, with 4 heads of 18.
class LocateTest : public testing::Test {
 protected:
  LocateTest() { dims_.NewEnds("T") = {100, 130, 280, 280}; }

  const base::Field& Out() const { return *contract().Find("attention_out"); }
  const base::Contract& contract() const { return *Find("nsa_compress_attention")->contract; }
  Locator locator() const { return {contract(), Out(), &params_, dims_}; }
  static Spread Box(std::vector<int64_t> shape, std::vector<int64_t> begin,
                    std::vector<int64_t> end) {
    Spread spread(shape);
    std::vector<int64_t> index = begin;
    for (size_t d = index.size(); true;) {
      spread.Add(index);
      for (d = index.size(); d-- > 0;) {
        if (++index[d] < end[d]) break;
        index[d] = begin[d];
        if (d == 0) return spread;
      }
    }
  }

  nsa_compress_attention::Params params_;
  base::Dims dims_;
};

TEST_F(LocateTest, AHeadOfThreeTokens) {
  const Spread spread = Box({300, 4, 18}, {200, 2, 0}, {203, 3, 18});
  EXPECT_EQ(spread.count(), 54);
  EXPECT_EQ(locator().Describe({200, 2, 0}, spread), "sequence 2, token 70, head 2");
  EXPECT_EQ(locator().Pattern(spread),
            "all 18 channels of head 2, tokens 200 to 202 (tokens 70 to 72 of sequence 2)");
}

TEST_F(LocateTest, SeveralSequences) {
  const Spread spread = Box({300, 4, 18}, {90, 0, 3}, {140, 4, 4});
  EXPECT_EQ(locator().Describe({90, 0, 3}, spread), "sequence 0, token 90, channel 3");
  EXPECT_EQ(locator().Pattern(spread), "channel 3, all 4 heads, tokens 90 to 139");
}

TEST_F(LocateTest, Padding) {
  const Spread spread = Box({300, 4, 18}, {285, 1, 0}, {286, 3, 18});
  EXPECT_EQ(locator().Describe({285, 1, 0}, spread), "padding, token 5, head 1");
  EXPECT_EQ(locator().Pattern(spread), "all 18 channels of heads 1 and 2, token 285 (padding)");
}

TEST_F(LocateTest, Everything) {
  const Spread spread = Box({300, 4, 18}, {0, 0, 0}, {300, 4, 18});
  EXPECT_EQ(locator().Describe({0, 0, 0}, spread), "");
  EXPECT_EQ(locator().Pattern(spread), "all 18 channels of all 4 heads, all 300 tokens");
}

TEST_F(LocateTest, PartOfABoxIsCounted) {
  Spread spread({300, 4, 18});
  for (const int64_t token : {3, 5, 9, 70, 71, 99}) spread.Add({token, 1, token % 18});
  Spread other({300, 4, 18});
  other.Add({3, 3, 3});
  spread.Merge(other);
  EXPECT_EQ(locator().Pattern(spread),
            "7 of the 60 elements in 5 channels from 3 to 17, heads 1 and 3, 6 tokens from 3 to 99 "
            "(6 tokens from 3 to 99 of sequence 0)");
}

TEST(Locate, PaddedLayoutsCountSequencesByThemselves) {
  const base::Contract& contract = *Find("sparse_flash_attention")->contract;
  sparse_flash_attention::Params params;  // BSND
  const Locator locator(contract, *contract.Find("softmax_max"), &params, {});
  Spread spread({3, 50, 8});
  for (int64_t token = 20; token < 23; ++token) spread.Add({2, token, 5});
  EXPECT_EQ(locator.Describe({2, 20, 5}, spread), "sequence 2, token 20, head 5");
  EXPECT_EQ(locator.Pattern(spread), "head 5, tokens 20 to 22, sequence 2");
}

}  // namespace
}  // namespace tamis::registry
