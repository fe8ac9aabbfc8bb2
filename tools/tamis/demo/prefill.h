// The whole text through the prefill operators: its keys and values, their compression, and
// compressed attention in chunks of queries.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tools/tamis/demo/calls.h"
#include "tools/tamis/demo/embed.h"

namespace tamis::tools::demo {

/// Keys and values in bfloat16, raw and compressed.
struct Memory {
  int64_t tokens = 0;
  int64_t windows = 0;
  int64_t blocks = 0;                      ///< As nsa_compress_attention_infer counts them.
  std::vector<uint16_t> key;               ///< [tokens, kKeyHeads, kKeyDim]
  std::vector<uint16_t> value;             ///< [tokens, kKeyHeads, kValueDim]
  std::vector<uint16_t> compressed_key;    ///< [windows, kKeyHeads, kKeyDim]
  std::vector<uint16_t> compressed_value;  ///< [windows, kKeyHeads, kValueDim]
};

/// Two nsa_compress calls. `key` and `value` are set already.
Status Compress(const Context& context, Memory* memory, Measured* key, Measured* value,
                Agreement* agreement);

struct Prefill {
  Measured measured;
  int64_t chunks = 0;
};

/// nsa_compress_attention over every token: query t sees the windows that end at or before t, and
/// block 0, its own and the one before are forced. A chunk of queries attends to the windows that
/// exist by its end, as a serving engine would do it; a few rows of each go to the reference.
Status RunPrefill(const Context& context, const Memory& memory, const Embedding& embedding,
                  const std::function<void(int64_t done, int64_t total)>& progress,
                  Prefill* prefill, Agreement* agreement);

}  // namespace tamis::tools::demo
