#include "tools/tamis/demo/random.h"

#include <cstddef>
#include <numeric>
#include <utility>

namespace tamis::tools::demo {

uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::vector<int32_t> DealPages(int64_t logical, int64_t spare) {
  std::vector<int32_t> page_of(static_cast<size_t>(logical + spare));
  std::iota(page_of.begin(), page_of.end(), 0);
  Random random;
  for (size_t i = page_of.size() - 1; i > 0; --i)
    std::swap(page_of[i], page_of[random.Next() % (i + 1)]);
  page_of.resize(static_cast<size_t>(logical));
  return page_of;
}

std::vector<bool> ChooseChannels(int64_t heads, int64_t channels) {
  std::vector<bool> listens(static_cast<size_t>(heads * channels), true);
  Random random;
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t left = channels / kLeftOut; left > 0;) {
      const auto channel = static_cast<int64_t>(random.Next() % static_cast<uint64_t>(channels));
      const auto place = static_cast<size_t>(head * channels + channel);
      left -= listens[place] ? 1 : 0;
      listens[place] = false;
    }
  }
  return listens;
}

}  // namespace tamis::tools::demo
