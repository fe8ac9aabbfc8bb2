#include "tools/tamis/progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <utility>

namespace tamis::tools {

ProgressLine::ProgressLine(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() { Clear(); }

void ProgressLine::Update(int64_t done, int64_t total) {
  if (!terminal_ || total <= 0) return;
  const int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::steady_clock::now().time_since_epoch())
                             .count();
  if (now_ms - last_ms_ < 100) return;
  last_ms_ = now_ms;
  shown_ = true;
  const double percent = 100.0 * static_cast<double>(done) / static_cast<double>(total);
  std::fprintf(stderr, "\r\033[K%s: %.0f%%", what_.c_str(), percent);
}

void ProgressLine::Clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

}  // namespace tamis::tools
