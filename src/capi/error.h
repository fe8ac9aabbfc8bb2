// How a C function answers: a status, and a line for tamis_last_error().
#pragma once

#include <new>
#include <stdexcept>
#include <string_view>

#include "tamis/status.hpp"
#include "tamis/tamis.h"

namespace tamis::capi {

/// Keeps the message for this thread. Allocates nothing, so that it works when memory has run out.
tamis_status Report(StatusCode code, std::string_view message);
inline tamis_status Report(const Status& status) { return Report(status.code(), status.message()); }

/// Runs `body`, which returns a Status. No exception crosses into C.
template <class Body>
tamis_status Guard(Body&& body) noexcept {
  try {
    return Report(body());
  } catch (const std::bad_alloc&) {
    return Report(StatusCode::kNoMemory, "host memory: an allocation failed");
  } catch (const std::length_error&) {
    return Report(StatusCode::kNoMemory, "host memory: a size is beyond what can be allocated");
  } catch (...) {
    return Report(StatusCode::kInternal, "an exception that should not exist");
  }
}

}  // namespace tamis::capi
