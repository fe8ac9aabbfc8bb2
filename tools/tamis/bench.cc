// tamis bench: the named shapes, timed beside the machine's peaks.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/cpu_features.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "bench/calibrate.h"
#include "registry/registry.h"
#include "tools/tamis/command.h"
#include "tools/tamis/example.h"
#include "tools/tamis/options.h"
#include "tools/tamis/progress.h"
#include "tools/tamis/text.h"

namespace tamis::tools {
namespace {

constexpr double kLongSeconds = 5;       // longer runs are measured once
constexpr double kSampleSeconds = 0.02;  // shorter runs are repeated within a round

struct BenchOptions {
  std::string op;
  std::string shape;
  std::string json;
  std::string dtype = "bfloat16";
  int rounds = 7;
  ContextOptions context;
};

struct Row {
  std::string op;
  std::string shape;
  DType dtype = DType::kNone;
  Level level = Level::kAuto;
  int32_t threads = 0;
  double ms = 0;
  double gflops = 0;
  double gbytes_per_s = 0;
  double percent_of_fma = 0;
  double percent_of_read = 0;

  bool fma_bound() const { return percent_of_fma >= percent_of_read; }
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// One plan under measurement.
struct Candidate {
  int32_t threads = 0;
  Plan plan;
  Cost cost;
  std::shared_ptr<void> workspace;
  int64_t repeats = 1;
  bool once = false;
  std::vector<double> seconds = {};
  std::vector<double> percent_of_fma = {};
  std::vector<double> percent_of_read = {};

  Result<double> Time(int64_t times) const {
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < times; ++i)
      TAMIS_RETURN_IF_ERROR(plan.run(workspace.get(), plan.workspace_bytes()));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
           static_cast<double>(times);
  }

  // The peaks come from the same round.
  void Record(const bench::Peaks& peaks, double took) {
    seconds.push_back(took);
    percent_of_fma.push_back(cost.flops / took * 1e-9 / peaks.gflops * 100);
    percent_of_read.push_back(cost.read_bytes / took * 1e-9 / peaks.read_gbytes_per_s * 100);
  }
};

// Warms up and learns how often to run per round; a long run is its only round.
Status Prepare(bench::Calibration* calibration, Candidate* candidate) {
  const bench::Peaks peaks = calibration->Measure(candidate->plan.level(), candidate->threads);
  const Result<double> first = candidate->Time(1);
  if (!first.ok()) return first.status();
  candidate->once = *first > kLongSeconds;
  if (candidate->once) candidate->Record(peaks, *first);
  candidate->repeats = std::max<int64_t>(
      1, static_cast<int64_t>(std::ceil(kSampleSeconds / std::max(*first, 1e-7))));
  return Status::Ok();
}

Status Measure(int rounds, bench::Calibration* calibration, std::vector<Candidate>* candidates) {
  for (Candidate& candidate : *candidates) TAMIS_RETURN_IF_ERROR(Prepare(calibration, &candidate));
  for (int round = 0; round < rounds; ++round) {
    for (Candidate& candidate : *candidates) {
      if (candidate.once) continue;
      const bench::Peaks peaks = calibration->Measure(candidate.plan.level(), candidate.threads);
      const Result<double> took = candidate.Time(candidate.repeats);
      if (!took.ok()) return took.status();
      candidate.Record(peaks, *took);
    }
  }
  return Status::Ok();
}

Row RowOf(const Candidate& candidate) {
  Row row;
  row.level = candidate.plan.level();
  row.threads = candidate.threads;
  const double seconds = Median(candidate.seconds);
  row.ms = seconds * 1e3;
  row.gflops = candidate.cost.flops / seconds * 1e-9;
  row.gbytes_per_s = candidate.cost.read_bytes / seconds * 1e-9;
  row.percent_of_fma = Median(candidate.percent_of_fma);
  row.percent_of_read = Median(candidate.percent_of_read);
  return row;
}

Status BenchExample(const BenchOptions& options, DType dtype, const Context& context,
                    const base::Operator& op, const base::Example& example,
                    bench::Calibration* calibration, std::vector<Row>* rows) {
  int32_t all = 0;
  TAMIS_RETURN_IF_ERROR(base::ResolveThreads(0, &all));
  const Result<CaseData> data = MakeExample(op, example, dtype, 1, std::max(all, context.threads));
  if (!data.ok()) return data.status();
  Result<registry::Call> call = BuildCall(*data);
  if (!call.ok()) return call.status();
  const Result<Outputs> outputs = AllocateOutputs(&*call, example.omit);
  if (!outputs.ok()) return outputs.status();
  std::vector<int32_t> thread_counts = {context.threads};
  if (options.context.threads == 0 && context.threads > 1) thread_counts = {1, context.threads};
  std::vector<Candidate> candidates;
  for (int32_t threads : thread_counts) {
    Context own = context;
    own.threads = threads;
    Result<Plan> plan = call->MakePlan(own);
    if (!plan.ok()) return plan.status();
    const auto workspace = AllocateBytes("workspace", plan->workspace_bytes());
    if (!workspace.ok()) return workspace.status();
    candidates.push_back(
        {.threads = threads, .plan = *plan, .cost = plan->cost(), .workspace = *workspace});
  }
  TAMIS_RETURN_IF_ERROR(Measure(options.rounds, calibration, &candidates));
  for (const Candidate& candidate : candidates) {
    Row row = RowOf(candidate);
    row.op = op.contract->name;
    row.shape = example.name;
    row.dtype = dtype;
    rows->push_back(std::move(row));
  }
  return Status::Ok();
}

void PrintHeader() {
  std::printf("%-28s %-12s %-9s %-7s %7s %10s %9s %6s %8s %7s\n", "operator", "shape", "dtype",
              "level", "threads", "ms", "GFLOP/s", "% fma", "GB/s in", "% read");
}

void PrintRow(const Row& row) {
  std::printf("%-28s %-12s %-9s %-7s %7d %10.3f %9.1f %6.1f %8.1f %7.1f\n", row.op.c_str(),
              row.shape.c_str(), std::string(base::Name(row.dtype)).c_str(),
              std::string(base::Name(row.level)).c_str(), row.threads, row.ms, row.gflops,
              row.percent_of_fma, row.gbytes_per_s, row.percent_of_read);
}

Status WriteJson(const std::string& path, const std::vector<Row>& rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    list.push_back({{"operator", row.op},
                    {"shape", row.shape},
                    {"dtype", base::Name(row.dtype)},
                    {"level", base::Name(row.level)},
                    {"threads", row.threads},
                    {"impl", "tamis"},
                    {"median_ms", row.ms},
                    {"gflops", row.gflops},
                    {"gbytes_per_s", row.gbytes_per_s},
                    {"bound", row.fma_bound() ? "fma" : "read"},
                    {"percent_of_bound", std::max(row.percent_of_fma, row.percent_of_read)},
                    {"ratio_to_tamis", 1.0},
                    {"max_error", nullptr}});
  }
  const std::string text = list.dump(1) + "\n";
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return base::Invalid(path, "a place that can be written", "none");
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) != 0 || !written) return base::Invalid(path, "to be written", "an error");
  return Status::Ok();
}

// What to time: everything marked for it, or the shapes asked for.
Status Choose(const BenchOptions& options,
              std::vector<std::pair<const base::Operator*, const base::Example*>>* chosen) {
  if (!options.op.empty() && registry::Find(options.op) == nullptr)
    return base::Invalid("operator", "one of " + registry::Names(), options.op);
  std::string known;
  for (const base::Operator& op : registry::Operators()) {
    if (!options.op.empty() && op.contract->name != options.op) continue;
    for (const base::Example& example : *op.examples) {
      if (options.shape.empty() ? example.timed : example.name == options.shape)
        chosen->push_back({&op, &example});
      known += (known.empty() ? "" : ", ") + example.name;
    }
  }
  if (chosen->empty()) return base::Invalid("--shape", "one of " + known, options.shape);
  return Status::Ok();
}

Result<int> RunBench(const BenchOptions& options) {
  if (options.rounds < 1) return base::Invalid("--rounds", "at least 1", options.rounds);
  const Result<DType> dtype = ExampleDType(options.dtype);
  if (!dtype.ok()) return dtype.status();
  if (!options.json.empty()) TAMIS_RETURN_IF_ERROR(CheckWritable(options.json));
  const Result<Context> context = options.context.Resolve();
  if (!context.ok()) return context.status();
  std::vector<std::pair<const base::Operator*, const base::Example*>> chosen;
  TAMIS_RETURN_IF_ERROR(Choose(options, &chosen));
  Result<bench::Calibration> calibration = bench::Calibration::Make(context->threads);
  if (!calibration.ok()) return calibration.status();
  ProgressLine progress("measuring");
  std::vector<Row> rows;
  PrintHeader();
  for (size_t i = 0; i < chosen.size(); ++i) {
    progress.Update(static_cast<int64_t>(i), static_cast<int64_t>(chosen.size()));
    const size_t before = rows.size();
    TAMIS_RETURN_IF_ERROR(BenchExample(options, *dtype, *context, *chosen[i].first,
                                       *chosen[i].second, &*calibration, &rows));
    progress.Clear();
    for (size_t r = before; r < rows.size(); ++r) PrintRow(rows[r]);
    std::fflush(stdout);
  }
  if (!options.json.empty()) TAMIS_RETURN_IF_ERROR(WriteJson(options.json, rows));
  return kDone;
}

}  // namespace

void AddBench(CLI::App& app, Action* action) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand(
      "bench", "Time the named shapes beside the peaks measured in the same rounds");
  command->add_option("operator", options->op, "An operator's name; without: all");
  command->add_option("--shape", options->shape, "One shape, timed by default or not");
  command->add_option("--json", options->json, "Also write the rows to this file");
  command->add_option("--dtype", options->dtype, kExampleDTypes)->capture_default_str();
  command->add_option("--rounds", options->rounds, "Runs over 5 s are measured once")
      ->capture_default_str();
  options->context.AddTo(command, false);
  command->callback([=] { *action = [=] { return RunBench(*options); }; });
}

}  // namespace tamis::tools
