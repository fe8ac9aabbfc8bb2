// fuzz_make_seeds FOLDER: writes the seed corpus, the same every time. A case file per operator,
// and bytes that make sound calls of every operator.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/targets.h"
#include "tests/support/random_calls.h"
#include "tools/tamis/case.h"

namespace tamis {
namespace {

constexpr int kBytes = 40;
constexpr int kCallsPerOperator = 3;
constexpr int64_t kMostCaseBytes = 8000;

int64_t BytesOf(const TensorView& view) {
  int64_t bytes = base::ItemSize(view.dtype);
  for (int i = 0; i < view.rank; ++i) bytes *= view.shape[i];
  return bytes;
}

// A small call whose every tensor holds an element.
test::TestCall FullCall(const base::Operator& op, uint64_t seed) {
  for (;; ++seed) {
    test::Random random(seed);
    test::TestCall call = test::RandomCall(op, &random);
    int64_t all = 0;
    bool full = true;
    for (const auto& [name, view] : call.tensors()) {
      full = full && BytesOf(view) > 0;
      all += BytesOf(view);
    }
    if (full && all <= kMostCaseBytes) return call;
  }
}

std::string JsonOf(const test::Attribute& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) return std::to_string(*i);
  if (const auto* d = std::get_if<double>(&value)) return std::to_string(*d);
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* s = std::get_if<std::string>(&value)) return "\"" + *s + "\"";
  std::string list;
  for (int64_t entry : std::get<std::vector<int64_t>>(value))
    list += (list.empty() ? "" : ", ") + std::to_string(entry);
  return "[" + list + "]";
}

// Case files hold dense tensors: the elements are copied out of their strides.
bool WriteCase(const std::string& path, const test::TestCall& call, const base::Operator& op) {
  test::TestCall dense(op.contract->name);
  tools::CaseData data;
  data.op = op.contract->name;
  data.attrs = "{";
  for (const auto& [name, value] : call.attributes())
    data.attrs += (data.attrs.size() > 1 ? ", \"" : "\"") + name + "\": " + JsonOf(value);
  data.attrs += "}";
  for (const auto& [name, view] : call.tensors()) {
    std::vector<int64_t> shape(view.shape, view.shape + view.rank);
    dense.Tensor(name, view.dtype, shape, [&v = view](int64_t i) {
      int64_t offset = 0;
      for (int d = v.rank - 1; d >= 0; i /= v.shape[d], --d)
        offset += i % v.shape[d] * v.strides[d];
      return base::LoadAsDouble(v.data, v.dtype, offset);
    });
    data.inputs.push_back({.name = name,
                           .dtype = view.dtype,
                           .shape = shape,
                           .data = dense.view(name).data,
                           .bytes = BytesOf(view)});
  }
  return tools::WriteCase(path, data).ok();
}

bool WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return file.good();
}

bool WriteSeeds(const std::string& folder) {
  std::filesystem::create_directories(folder + "/calls");
  std::filesystem::create_directories(folder + "/case_file");
  bool written = true;
  uint8_t first = 0;
  for (const base::Operator& op : registry::Operators()) {
    const std::string& name = op.contract->name;
    test::Random random(first + 1u);
    written = WriteCase(folder + "/case_file/" + name, FullCall(op, 1), op) && written;
    for (int i = 0; i < kCallsPerOperator; ++i) {
      std::string bytes(1, static_cast<char>(first));
      while (bytes.size() < kBytes) bytes += static_cast<char>(random.Below(256));
      written = WriteBytes(folder + "/calls/" + name + "_" + std::to_string(i), bytes) && written;
    }
    ++first;
  }
  return written;
}

}  // namespace
}  // namespace tamis

int main(int argc, char** argv) {
  if (argc == 2 && tamis::WriteSeeds(argv[1])) return 0;
  std::fputs("usage: fuzz_make_seeds FOLDER\n", stderr);
  return 2;
}
