// Whether a change of the interfaces or the house has moved a bit. Before it, `tamis_record write
// DIR CALLS` writes random calls of every operator as case files. `tamis_record hash DIR` runs all
// cases of DIR at every level and prints a line per output; before and after give the same lines.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/cpu_features.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "tests/support/random_calls.h"
#include "tools/tamis/case.h"

namespace tamis::test {
namespace {

std::string Json(const Attribute& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value)) return "\"" + *text + "\"";
  if (const auto* real = std::get_if<double>(&value)) {
    char digits[32];
    std::snprintf(digits, sizeof(digits), "%.17g", *real);
    return digits;
  }
  std::string list;
  for (int64_t entry : std::get<std::vector<int64_t>>(value))
    list += (list.empty() ? "" : ", ") + std::to_string(entry);
  return "[" + list + "]";
}

// The call with its inputs dense. Files hold no outputs: a run asks for all of them.
tools::CaseData CaseOf(const std::string& op, const TestCall& call) {
  tools::CaseData data;
  data.op = op;
  std::string attrs;
  for (const auto& [name, value] : call.attributes())
    attrs += (attrs.empty() ? "\"" : ", \"") + name + "\": " + Json(value);
  data.attrs = "{" + attrs + "}";
  data.source = "tests/record.cc";
  for (const auto& [name, view] : call.tensors()) {
    std::vector<int64_t> shape(view.shape, view.shape + view.rank);
    int64_t elems = 1;
    for (int64_t size : shape) elems *= size;
    const int64_t bytes = elems * base::ItemSize(view.dtype);
    auto memory = std::make_shared<std::vector<char>>(static_cast<size_t>(bytes));
    for (int64_t i = 0; i < elems; ++i) {
      base::StoreDouble(memory->data(), view.dtype, i,
                        base::LoadAsDouble(view.data, view.dtype, OffsetOf(view, i)));
    }
    data.inputs.push_back({.name = name,
                           .dtype = view.dtype,
                           .shape = shape,
                           .data = memory->data(),
                           .bytes = bytes});
    data.memory.push_back(memory);
  }
  return data;
}

Status WriteCases(const std::string& folder, int64_t calls) {
  for (const base::Operator* op : AllOperators()) {
    for (int64_t seed = 1; seed <= calls; ++seed) {
      Random random(static_cast<uint64_t>(seed));
      const TestCall call = RandomCall(*op, &random);
      std::string path = folder;
      path.append("/").append(op->contract->name).append("-").append(std::to_string(seed));
      path.append(".safetensors");
      TAMIS_RETURN_IF_ERROR(tools::WriteCase(path, CaseOf(op->contract->name, call)));
    }
  }
  return Status::Ok();
}

// Every run has a copy of the case of its own: some calls update their inputs.
Status HashCase(const std::string& path, Level level) {
  const Result<tools::CaseData> data = tools::ReadCase(path);
  if (!data.ok()) return data.status();
  Result<registry::Call> call = tools::BuildCall(*data);
  if (!call.ok()) return call.status();
  const Result<tools::Outputs> outputs = tools::AllocateOutputs(&*call);
  if (!outputs.ok()) return outputs.status();
  const Result<Plan> plan = call->MakePlan({.level = level});
  if (!plan.ok()) return plan.status();
  TAMIS_RETURN_IF_ERROR(plan->run());
  const std::string stem = std::filesystem::path(path).stem().string();
  for (const tools::StoredTensor& output : outputs->tensors) {
    std::printf(
        "%s %s %s %016llx\n", stem.c_str(), std::string(base::Name(level)).c_str(),
        output.name.c_str(),
        static_cast<unsigned long long>(HashOf(output.data, static_cast<size_t>(output.bytes))));
  }
  return Status::Ok();
}

Status HashCases(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    for (Level level : base::AvailableLevels()) TAMIS_RETURN_IF_ERROR(HashCase(path, level));
  }
  return Status::Ok();
}

}  // namespace
}  // namespace tamis::test

int main(int count, char** arguments) {
  const std::string command = count > 2 ? arguments[1] : "";
  const int64_t calls = count == 4 ? std::atoll(arguments[3]) : 0;
  const bool sound = command == "write" ? calls > 0 : command == "hash" && count == 3;
  if (!sound || !std::filesystem::is_directory(arguments[2])) {
    std::fputs(
        "usage: tamis_record write DIR CALLS\n       tamis_record hash DIR\n"
        "DIR: a folder that exists; CALLS: of each operator, at least 1\n",
        stderr);
    return 2;
  }
  const tamis::Status status = command == "write" ? tamis::test::WriteCases(arguments[2], calls)
                                                  : tamis::test::HashCases(arguments[2]);
  if (!status.ok()) std::fprintf(stderr, "tamis_record: %s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}
