#include "tools/tamis/demo/run.h"

#include <algorithm>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "tools/tamis/demo/dsa/run.h"
#include "tools/tamis/demo/nsa.h"

namespace tamis::tools::demo {

Result<int> Run(const Options& options) {
  Result<Context> context = options.context.Resolve();
  if (!context.ok()) return context.status();
  TAMIS_RETURN_IF_ERROR(base::ResolveLevel(context->level, &context->level));
  Result<int> nsa = RunNsa(options, *context);
  if (!nsa.ok()) return nsa;
  Result<int> dsa = dsa::Run(options, *context);
  if (!dsa.ok()) return dsa;
  return std::max(*nsa, *dsa);
}

}  // namespace tamis::tools::demo
