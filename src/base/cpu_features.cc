#include "base/cpu_features.h"

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/errors.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace tamis::base {
namespace {

constexpr std::string_view kLevelNames[] = {"auto",   "scalar",      "avx2",       "avx2_vnni",
                                            "avx512", "avx512_vnni", "avx512_bf16"};
constexpr std::string_view kImplementationNames[] = {"auto", "reference", "cpu", "cuda"};
constexpr int32_t kMaxThreads = 1024;

#if defined(__x86_64__) && defined(TAMIS_X86_LEVELS)
bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1u << 29)) != 0;
}

bool HasAvxVnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || eax < 1) return false;  // subleaves
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0;
}
#endif

std::vector<Level> DetectLevels() {
  std::vector<Level> levels = {Level::kScalar};
#if defined(__x86_64__) && defined(TAMIS_X86_LEVELS)
  __builtin_cpu_init();  // its answers include the operating system's leave to use the wide
                         // registers
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2") && HasF16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  if (avx2) levels.push_back(Level::kAvx2);
  if (avx2 && HasAvxVnni()) levels.push_back(Level::kAvx2Vnni);
  if (avx512) levels.push_back(Level::kAvx512);
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  if (vnni) levels.push_back(Level::kAvx512Vnni);
  if (vnni && __builtin_cpu_supports("avx512bf16")) levels.push_back(Level::kAvx512Bf16);
#endif
  return levels;
}

// AMD's cores do as many dot products of pairs as fused multiply-adds, twice the work. Intel's do
// half as many, at level avx512_vnni's rate: widening once and multiplying in fp32 is as fast, and
// more exact with subnormals.
bool DotsAreFast() {
#if defined(__x86_64__)
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

}  // namespace

std::string_view Name(Level level) {
  const auto i = static_cast<uint32_t>(level);
  return i < std::size(kLevelNames) ? kLevelNames[i] : "unknown";
}

std::string_view Name(Implementation implementation) {
  const auto i = static_cast<uint32_t>(implementation);
  return i < std::size(kImplementationNames) ? kImplementationNames[i] : "unknown";
}

const std::vector<Level>& AvailableLevels() {
  static const std::vector<Level> levels = DetectLevels();
  return levels;
}

Level FastestLevel() {
  const Level last = AvailableLevels().back();
  return last == Level::kAvx512Bf16 && !DotsAreFast() ? Level::kAvx512Vnni : last;
}

Status ResolveLevel(Level wanted, Level* level) {
  std::string argument = "level";
  if (wanted == Level::kAuto) {
    const char* text = std::getenv("TAMIS_LEVEL");
    if (text == nullptr || *text == 0 || std::string_view(text) == "auto") {
      *level = FastestLevel();
      return Status::Ok();
    }
    argument = "TAMIS_LEVEL";
    for (uint32_t i = 0; i < std::size(kLevelNames); ++i) {
      if (kLevelNames[i] == text) wanted = static_cast<Level>(i);
    }
    if (wanted == Level::kAuto)
      return Invalid(argument, "auto, scalar, avx2, avx2_vnni, avx512, avx512_vnni or avx512_bf16",
                     text);
  }
  std::string here;
  for (Level available : AvailableLevels()) {
    if (available == wanted) {
      *level = wanted;
      return Status::Ok();
    }
    here += (here.empty() ? "" : ", ") + std::string(Name(available));
  }
  return Unsupported(argument, here, Name(wanted));
}

Status ResolveThreads(int32_t wanted, int32_t* threads) {
  if (wanted < 0 || wanted > kMaxThreads) return Invalid("threads", "0 to 1024", wanted);
  *threads = wanted;
  if (wanted > 0) return Status::Ok();
  if (const char* text = std::getenv("TAMIS_NUM_THREADS"); text != nullptr && *text != 0) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end != 0 || value < 1 || value > kMaxThreads)
      return Invalid("TAMIS_NUM_THREADS", "1 to 1024", text);
    *threads = static_cast<int32_t>(value);
    return Status::Ok();
  }
  int processors = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) processors = CPU_COUNT(&set);
#endif
  *threads = std::min(std::max(processors, 1), kMaxThreads);
  return Status::Ok();
}

std::string ProcessorName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  }
#if defined(__aarch64__)
  return "aarch64";
#else
  return "unknown processor";
#endif
}

}  // namespace tamis::base
