// Named example calls of an operator, as data: for `tamis case new`, the benchmark and the tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tamis::base {

enum class Fill {
  kNormal,        ///< Standard normal.
  kProjection,    ///< Normal, divided by the root of the size before the last: keeps lengths.
  kWindowWeight,  ///< Positive, about 1 / window.
  kCausalMask,  ///< 1 where the window of compressed key i ends after query t: i * stride + block -
                ///< 1 > t.
  kLocalBlocks,  ///< topk_mask: 1 for block 0 and the two blocks around the query.
  kPageTable,    ///< A permutation of the pages.
  kDistinctIds,  ///< Rows of distinct numbers below the value listed, in no order.
  kZero,
  kValues,  ///< Those listed, over and over.
};

struct ExampleTensor {
  std::string name;
  std::vector<int64_t> shape;
  Fill fill = Fill::kNormal;
  std::vector<int64_t> values = {};
};

struct ExampleAttribute {
  std::string name;
  std::string json;  ///< "32", "0.5", "\"TND\"", "[31, 63]"
};

struct Example {
  std::string name;
  std::string doc;
  std::vector<ExampleTensor> tensors;
  std::vector<ExampleAttribute> attributes;
  std::vector<std::string> omit = {};  ///< Optional outputs that the benchmark does not ask for.
  bool timed = false;                  ///< Part of the default benchmark.
};

}  // namespace tamis::base
