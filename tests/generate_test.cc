// What the generators write, beyond that it is fresh.
#include <gtest/gtest.h>

#include <string>

#include "registry/registry.h"
#include "tools/generate/c_header.h"

namespace tamis::generate {
namespace {

TEST(Generate, CStructHoldsTheFieldsInOrder) {
  const std::string header = CHeader();
  for (const base::Operator& op : registry::Operators()) {
    const std::string type = "tamis_" + op.contract->name + "_params";
    size_t at = header.find("typedef struct " + type + " {");
    ASSERT_NE(at, std::string::npos) << type;
    for (const base::Field& field : op.contract->fields) {
      at = header.find(" " + field.name + ";\n", at);
      ASSERT_NE(at, std::string::npos) << type << "." << field.name;
    }
    EXPECT_LT(at, header.find("} " + type + ";")) << type;
  }
}

TEST(Generate, CHeaderKeepsTo100Columns) {
  const std::string header = CHeader();
  for (size_t begin = 0; begin < header.size();) {
    const size_t end = header.find('\n', begin);
    EXPECT_LE(end - begin, 100U) << header.substr(begin, end - begin);
    begin = end + 1;
  }
}

}  // namespace
}  // namespace tamis::generate
