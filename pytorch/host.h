// How calls from PyTorch run: on its threads.
#pragma once

#include <cstdint>
#include <memory>

#include "tamis/tamis.h"

namespace tamis::torch_ops {

struct DestroyContext {
  void operator()(tamis_context* context) const { tamis_context_destroy(context); }
};

struct Host {
  std::unique_ptr<tamis_context, DestroyContext> context;
  uint32_t threads = 0;
};

/// The calling thread's: a context may not change while a call uses it. As many threads as
/// `torch.set_num_threads` allows.
const Host& ThisHost();

}  // namespace tamis::torch_ops
