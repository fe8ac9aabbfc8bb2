// What the generators write, beyond that it is fresh.
#include <gtest/gtest.h>

#include <string>

#include "registry/registry.h"
#include "tools/generate/c_header.h"
#include "tools/generate/c_source.h"
#include "tools/generate/case_table.h"
#include "tools/generate/head.h"
#include "tools/generate/names.h"
#include "tools/generate/python_module.h"
#include "tools/generate/torch_operators.h"

namespace tamis::generate {
namespace {

TEST(Generate, EveryFileSaysInItsFirstLineThatItIsMade) {
  for (const std::string& file : {CHeader(), CSource(), PythonModule(), TorchOperators()}) {
    const std::string first = file.substr(0, file.find('\n'));
    EXPECT_NE(first.find(kHead), std::string::npos) << first;
  }
}

TEST(Generate, EveryFileNamesEveryArgument) {
  for (const std::string& file : {CSource(), PythonModule(), TorchOperators(), CaseTable()}) {
    for (const base::Operator& op : registry::Operators()) {
      size_t at = file.find(Quoted(op.contract->name));
      ASSERT_NE(at, std::string::npos) << op.contract->name;
      for (const base::Field& field : op.contract->fields)
        EXPECT_NE(file.find(Quoted(field.name)), std::string::npos) << field.name;
    }
  }
}

TEST(Generate, NamesAreWrittenAsTheLanguagesDo) {
  EXPECT_EQ(PascalCase("nd_to_nz"), "NdToNz");
  EXPECT_EQ(UpperCase("nd_to_nz"), "ND_TO_NZ");
  EXPECT_EQ(Quoted("of \"BSND\""), "\"of \\\"BSND\\\"\"");
}

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
