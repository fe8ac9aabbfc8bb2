#include "capi/error.h"

#include <algorithm>

namespace tamis::capi {
namespace {

constexpr size_t kMessageBytes = 1024;
thread_local char t_message[kMessageBytes];

}  // namespace

tamis_status Report(StatusCode code, std::string_view message) {
  const size_t size = std::min(message.size(), kMessageBytes - 1);
  // A name that the caller made up may hold anything; the message stays one line.
  std::transform(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size), t_message,
                 [](char c) { return static_cast<unsigned char>(c) < 0x20 ? '?' : c; });
  t_message[size] = '\0';
  return static_cast<tamis_status>(code);
}

}  // namespace tamis::capi

const char* tamis_last_error(void) { return tamis::capi::t_message; }

const char* tamis_status_name(tamis_status status) {
  switch (status) {
    case TAMIS_OK: return "ok";
    case TAMIS_UNSUPPORTED: return "unsupported";
    case TAMIS_NO_MEMORY: return "no_memory";
    case TAMIS_DEVICE_ERROR: return "device";
    case TAMIS_INTERNAL_ERROR: return "internal";
    case TAMIS_NULL_ARGUMENT: return "null_argument";
    case TAMIS_INVALID_ARGUMENT: return "invalid_argument";
    default: return "unknown";
  }
}
