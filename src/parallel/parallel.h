// Fork and join over Tamis's own pool or the host's threads.
#pragma once

#include <cstdint>
#include <type_traits>

#include "tamis/context.hpp"

namespace tamis::parallel {

/// Who gets which items of a loop.
enum class Order {
  kAscending,  ///< One after the other, to whoever asks.
  kByShare,    ///< Every worker has a share, which it does before it helps with others: what it
               ///< left in its caches for a loop of as many items, or for the next call, it finds.
};

/// Calls body(arg, item, worker) exactly once for every item in [0, items), from at most `threads`
/// workers at a time; `worker` is in [0, threads) and no two calls with the same worker overlap, so
/// it may index scratch. Which worker gets which item is not deterministic and must not matter. The
/// first exception of a call (memory that the host refused) ends its worker and is thrown to the
/// caller once all have returned.
void ForEach(const Executor& executor, int32_t threads, int64_t items, Order order,
             void (*body)(void* arg, int64_t item, int32_t worker), void* arg);

/// The same for any callable(int64_t item, int32_t worker).
template <class Body>
void ForEach(const Executor& executor, int32_t threads, int64_t items, Order order, Body&& body) {
  ForEach(
      executor, threads, items, order,
      [](void* arg, int64_t item, int32_t worker) {
        (*static_cast<std::remove_reference_t<Body>*>(arg))(item, worker);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}
template <class Body>
void ForEach(const Executor& executor, int32_t threads, int64_t items, Body&& body) {
  ForEach(executor, threads, items, Order::kAscending, body);
}

/// The pool as an Executor: spins briefly, then parks; survives fork; several callers at once share
/// the workers.
Executor OwnPool();

}  // namespace tamis::parallel
