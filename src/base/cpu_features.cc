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

// What this processor has, of what this build uses.
Features DetectFeatures() {
  Features features = Feature::kInt16 | Feature::kFastIntegers | Feature::kBf16Pairs;
#if defined(__x86_64__) && defined(TAMIS_X86_LEVELS)
  __builtin_cpu_init();  // its answers include the operating system's leave to use the wide
                         // registers
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2") && HasF16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  if (avx2) features = features | Feature::kAvx2;
  if (HasAvxVnni()) features = features | Feature::kAvxVnni;
  if (avx512) features = features | Feature::kAvx512;
  if (__builtin_cpu_supports("avx512vnni")) features = features | Feature::kAvx512Vnni;
  if (__builtin_cpu_supports("avx512bf16")) features = features | Feature::kAvx512Bf16;
#endif
  return features;
}

std::vector<Level> DetectLevels() {
  const Features features = DetectFeatures();
  std::vector<Level> levels;
  for (const LevelTraits& traits : Levels()) {
    if (features.Include(traits.features)) levels.push_back(traits.level);
  }
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
  if (level == Level::kAuto) return "auto";
  return TraitsOf(level).level == level ? TraitsOf(level).name : "unknown";
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
    std::string names = "auto";
    for (const LevelTraits& traits : Levels()) {
      if (traits.name == text) wanted = traits.level;
      names += (&traits == &Levels().back() ? " or " : ", ") + std::string(traits.name);
    }
    if (wanted == Level::kAuto) return Invalid(argument, names, text);
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

Status CheckImplementation(Implementation wanted) {
  if (static_cast<uint32_t>(wanted) < std::size(kImplementationNames)) return Status::Ok();
  return Invalid("implementation", "auto, reference, cpu or cuda", static_cast<int64_t>(wanted));
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
