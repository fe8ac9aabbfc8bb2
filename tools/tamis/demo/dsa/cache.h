// The layer's paged caches, filled with a text by the prologs.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tools/tamis/demo/calls.h"
#include "tools/tamis/demo/dsa/hidden.h"
#include "tools/tamis/demo/dsa/layer.h"

namespace tamis::tools::demo::dsa {

inline constexpr int64_t kPage = 128;

/// Latent, rope and index key rows of one sequence in pages of shuffled order, the same for all
/// three; what was never written is NaN, so that reading it shows.
struct Caches {
  explicit Caches(int64_t positions);

  int64_t Slot(int64_t position) const {
    return page_of[static_cast<size_t>(position / kPage)] * kPage + position % kPage;
  }
  std::vector<int32_t> Slots(int64_t first, int64_t count) const;
  OutputView kv_view();
  OutputView kr_view();
  OutputView index_view();
  int64_t bytes() const;

  int64_t pages = 0;
  std::vector<int32_t> page_of;  ///< Of each logical page: the block table.
  std::vector<uint16_t> kv;      // [pages, kPage, 1, kLatent]
  std::vector<uint16_t> kr;      // [pages, kPage, 1, kRope]
  std::vector<uint16_t> index;   // [pages, kPage, 1, kIndexDim]
};

struct Fill {
  Measured mla;
  Measured index;
  double hidden_seconds = 0;
  int64_t chunks = 0;
};

/// mla_prolog and indexer_prolog over tokens [0, tokens) in chunks, without queries. Some rows of
/// each chunk go to the reference.
Status FillCaches(const Context& context, const Weights& weights, const HiddenStates& hidden,
                  int64_t tokens, const std::function<void(int64_t done, int64_t total)>& progress,
                  Caches* caches, Fill* fill, Agreement* agreement);

}  // namespace tamis::tools::demo::dsa
