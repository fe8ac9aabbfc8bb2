// Progress of long work: a line on stderr that rewrites itself, on a terminal only.
#pragma once

#include <cstdint>
#include <string>

namespace tamis::tools {

class ProgressLine {
 public:
  explicit ProgressLine(std::string what);
  ~ProgressLine();  // clears the line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// "what [###.......]  37%", at most some ten times a second.
  void Update(int64_t done, int64_t total);
  void Clear();

 private:
  std::string what_;
  bool terminal_ = false;
  bool shown_ = false;
  int64_t last_ms_ = -1000;
};

}  // namespace tamis::tools
