// tamis_generate [--check] [ROOT]: writes what is made from the contracts:
// include/tamis/tamis_ops.h, src/capi/typed_ops.cc, python/tamis/_ops.py, pytorch/operators.h, and
// the tables between markers in python/tamis/case.py and the rooms' READMEs. With --check it writes
// nothing and names the first file that is stale.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "registry/registry.h"
#include "tools/describe/markdown.h"
#include "tools/generate/c_header.h"
#include "tools/generate/c_source.h"
#include "tools/generate/case_table.h"
#include "tools/generate/python_module.h"
#include "tools/generate/torch_operators.h"

namespace tamis::generate {
namespace {

constexpr std::string_view kEnd = "<!-- contract:end -->";
constexpr const char* kCase = "python/tamis/case.py";
constexpr std::string_view kCaseBegin =
    "# --- contracts: begin (made by `dev generate`, do not edit)\n";
constexpr std::string_view kCaseEnd = "# --- contracts: end\n";

struct Made {
  std::string path;  // below the root
  std::string text;
};

bool ReadFile(const std::string& path, std::string* text) {
  std::ifstream file(path, std::ios::binary);
  text->assign(std::istreambuf_iterator<char>(file), {});
  return file.good() || file.eof();
}

bool WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  return file.flush().good();
}

int Fail(const std::string& line) {
  std::fprintf(stderr, "tamis_generate: %s\n", line.c_str());
  return 1;
}

// What stands between two markers of a file made anew; false where they are missing.
bool SetBetween(std::string_view begin_line, std::string_view end_line, const std::string& made,
                std::string* file) {
  const size_t begin = file->find(begin_line);
  const size_t end = file->find(end_line, begin == std::string::npos ? 0 : begin);
  if (begin == std::string::npos || end == std::string::npos) return false;
  const size_t after = begin + begin_line.size();
  file->replace(after, end - after, made);
  return true;
}

int Generate(const std::vector<std::string>& arguments) {
  const bool check = !arguments.empty() && arguments.front() == "--check";
  const size_t given = arguments.size() - (check ? 1 : 0);
  if (given > 1) return Fail("usage: tamis_generate [--check] [ROOT]");
  const std::string root = given == 1 ? arguments.back() + "/" : "";

  std::vector<Made> files = {{"include/tamis/tamis_ops.h", CHeader()},
                             {"src/capi/typed_ops.cc", CSource()},
                             {"python/tamis/_ops.py", PythonModule()},
                             {"pytorch/operators.h", TorchOperators()}};
  files.push_back({kCase, {}});
  if (!ReadFile(root + kCase, &files.back().text) ||
      !SetBetween(kCaseBegin, kCaseEnd, CaseTable(), &files.back().text))
    return Fail(std::string(kCase) + ": expected the lines of its markers");
  for (const base::Operator& op : registry::Operators()) {
    const std::string path = "src/ops/" + std::string(op.folder) + "/README.md";
    if (files.back().path != path) {  // a room of several operators has one README
      files.push_back({path, {}});
      if (!ReadFile(root + path, &files.back().text))
        return Fail(path + ": expected a README, found none");
    }
    const std::string begin = "<!-- contract:begin " + op.contract->name + " -->\n";
    if (!SetBetween(begin, kEnd, describe::DescribeMarkdown(op), &files.back().text))
      return Fail((path + ": expected the lines ").append(begin).append(kEnd));
  }
  for (const Made& made : files) {
    std::string now;
    ReadFile(root + made.path, &now);
    if (now == made.text) continue;  // untouched files do not build again
    if (check) return Fail(made.path + ": older than the contracts; run `dev generate`");
    if (!WriteFile(root + made.path, made.text)) return Fail(made.path + ": cannot be written");
    std::printf("%s\n", made.path.c_str());
  }
  return 0;
}

}  // namespace
}  // namespace tamis::generate

int main(int argc, char** argv) { return tamis::generate::Generate({argv + 1, argv + argc}); }
