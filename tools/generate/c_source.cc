#include "tools/generate/c_source.h"

#include "tools/generate/head.h"
#include "tools/generate/names.h"
#include "tools/generate/per_operator.h"

namespace tamis::generate {
namespace {

using base::Contract;
using base::Field;
using base::Type;

const char* TypeEnumerator(Type type) {
  static constexpr const char* kNames[] = {"kTensor", "kInt",    "kFloat",
                                           "kBool",   "kChoice", "kInts"};
  return kNames[static_cast<int>(type)];
}

// "kNsaCompress"
std::string Constant(const Contract& contract) { return "k" + PascalCase(contract.name); }

std::string CMembers(const Contract& contract) {
  const std::string type = "tamis_" + contract.name + "_params";
  const std::string constant = Constant(contract);
  std::string text = "constexpr Member " + constant + "Members[] = {\n";
  for (const Field& field : contract.fields) {
    text += "    {\"" + field.name + "\", base::Type::" + TypeEnumerator(field.type) +
            ", offsetof(" + type + ", " + field.name + ")},\n";
  }
  return text + "};\nconstexpr Typed " + constant + " = {\"" + contract.name + "\", " + constant +
         "Members, sizeof(" + type + ")};\n\n";
}

std::string CBodies(const Contract& contract) {
  const std::string name = "tamis_" + contract.name;
  const std::string typed = "tamis::capi::" + Constant(contract);
  const std::string params = name + "_params* params";
  return "tamis_status " + name + "_params_init_sized(\n    " + params +
         ", size_t struct_size) {\n  return tamis::capi::InitParams(" + typed +
         ", params, struct_size);\n}\n\ntamis_status " + name +
         "_plan(\n    const tamis_context* context, const " + params +
         ",\n    tamis_plan** plan) {\n  return tamis::capi::PlanTyped(" + typed +
         ", context, params, plan);\n}\n\ntamis_status " + name +
         "_run(\n    const tamis_plan* plan, const " + params +
         ",\n    void* workspace, int64_t workspace_bytes, void* stream) {\n"
         "  return tamis::capi::RunTyped(" +
         typed +
         ", plan, params, workspace, workspace_bytes,\n                               "
         "stream);\n}\n\ntamis_status " +
         name + "_renew(\n    tamis_plan* plan, const " + params +
         ") {\n  return tamis::capi::RenewTyped(" + typed + ", plan, params);\n}\n";
}

}  // namespace

std::string CSource() {
  return HeadOfC() +
         "#include <cstddef>\n\n#include \"capi/typed.h\"\n#include \"tamis/tamis.h\"\n\n"
         "namespace tamis::capi {\nnamespace {\n\n" +
         PerOperator("", CMembers) +
         "}  // namespace\n\nstd::span<const Typed> AllTyped() {\n  static constexpr Typed kAll[] "
         "= {" +
         PerOperator(", ", Constant) + "};\n  return kAll;\n}\n\n}  // namespace tamis::capi\n\n" +
         "extern \"C\" {\n\n" + PerOperator("\n", CBodies) + "\n}  // extern \"C\"\n";
}

}  // namespace tamis::generate
