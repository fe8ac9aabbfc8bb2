#include "tools/tamis/options.h"

#include <CLI/CLI.hpp>

#include "base/cpu_features.h"
#include "base/errors.h"

namespace tamis::tools {
namespace {

// The enumerator of that name among 0 .. last.
template <class Enum>
Status Named(const char* option, const std::string& name, Enum last, Enum* value) {
  std::string known;
  for (int32_t i = 0; i <= static_cast<int32_t>(last); ++i) {
    if (base::Name(static_cast<Enum>(i)) == name) {
      *value = static_cast<Enum>(i);
      return Status::Ok();
    }
    known += (i == 0 ? "" : ", ") + std::string(base::Name(static_cast<Enum>(i)));
  }
  return base::Invalid(option, "one of " + known, name);
}

}  // namespace

void ContextOptions::AddTo(CLI::App* command, bool with_implementation) {
  if (with_implementation) {
    command->add_option("--impl", implementation, "auto, reference, cpu or cuda")
        ->capture_default_str();
  }
  command
      ->add_option("--level", level,
                   "auto, scalar, avx2, avx2_vnni, avx512, avx512_vnni or avx512_bf16")
      ->capture_default_str();
  command->add_option("--threads", threads, "0: all processors")->capture_default_str();
}

Result<Context> ContextOptions::Resolve() const {
  Context context;
  TAMIS_RETURN_IF_ERROR(
      Named("--impl", implementation, Implementation::kCuda, &context.implementation));
  TAMIS_RETURN_IF_ERROR(Named("--level", level, Level::kAvx512Bf16, &context.level));
  TAMIS_RETURN_IF_ERROR(base::ResolveThreads(threads, &context.threads));
  return context;
}

}  // namespace tamis::tools
