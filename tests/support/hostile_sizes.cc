#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "tests/support/hostile.h"

namespace tamis::test {
namespace {

using Sizes = std::map<std::string, int64_t>;

// Widths that a room derives: times * (first + second), of those that a call has.
struct Width {
  const char* op;
  const char* name;
  const char* times;
  const char* first;
  const char* second;
};
constexpr Width kWidths[] = {
    {"mla_prolog", "uq_width", "N", "nope", "rope"},
    {"mla_prolog", "kv_width", "", "latent", "rope"},
    {"indexer_prolog", "qb_width", "Ni", "Di", ""},
    {"sparse_attention_pto", "Q", "N", "Dq", "Dr"},
    {"sparse_attention_pto", "C", "", "D", "Dr"},
    {"sparse_attention_pto", "I", "Ni", "Di", ""},
    {"sparse_flash_attention", "W", "", "D", ""},
};

std::vector<std::string> Terms(const std::string& entry) {
  std::vector<std::string> terms;
  std::istringstream text(entry);
  for (std::string term; std::getline(text, term, '*');) {
    std::erase(term, ' ');
    terms.push_back(term);
  }
  return terms;
}

std::vector<std::string> EntriesOf(const CCall& call, const tamis_named_tensor& tensor) {
  const Result<registry::Call> cpp = call.Cpp();
  const base::Contract& contract = call.contract();
  return base::SplitDims(contract.FormOf(*contract.Find(tensor.name), cpp->params()));
}

bool IsInteger(const tamis_tensor& tensor) {
  return tensor.dtype == TAMIS_INT32 || tensor.dtype == TAMIS_INT64;
}

// The dimensions that stand alone in a shape, and their sizes. Those along which a plan may read
// integers, which is along the last dimension, are left out: there must be memory for them.
Sizes DimensionsOf(const CCall& call) {
  Sizes sizes;
  std::set<std::string> read;
  for (const tamis_named_tensor& tensor : call.tensors) {
    const std::vector<std::string> entries = EntriesOf(call, tensor);
    if (static_cast<int32_t>(entries.size()) != tensor.tensor.rank) continue;
    const bool input = call.contract().Find(tensor.name)->is_input();
    if (input && IsInteger(tensor.tensor) && !entries.empty()) read.insert(entries.back());
    for (size_t i = 0; input && i < entries.size(); ++i) {
      const bool name =
          entries[i].find_first_of("*0123456789") != 0 && Terms(entries[i]).size() == 1;
      if (name && tensor.tensor.shape[i] > 0) sizes[entries[i]] = tensor.tensor.shape[i];
    }
  }
  std::erase_if(sizes, [&](const auto& size) { return read.contains(size.first); });
  return sizes;
}

// Nothing where the product leaves int64.
std::optional<int64_t> Resized(int64_t size, const std::string& entry, const Sizes& before,
                               const Sizes& after) {
  for (const std::string& term : Terms(entry)) {
    const auto found = after.find(term);
    if (found == after.end()) continue;
    size /= before.at(term);
    if (__builtin_mul_overflow(size, found->second, &size)) return std::nullopt;
  }
  return size;
}

// The widths follow where they still can be counted.
Sizes WithWidths(const std::string& op, const Sizes& before, Sizes after) {
  Sizes all = before;
  for (const auto& [name, size] : after) all[name] = size;
  for (const Width& width : kWidths) {
    if (op != width.op || !all.contains(width.name) || after.contains(width.name)) continue;
    int64_t size = all[width.first];
    if (width.second[0] != 0) size += all[width.second];
    const int64_t times = width.times[0] == 0 ? 1 : all[width.times];
    if (!__builtin_mul_overflow(size, times, &size)) after[width.name] = size;
  }
  return after;
}

void Resize(CCall* call, const Sizes& before, const Sizes& resized) {
  const Sizes after = WithWidths(call->contract().name, before, resized);
  for (tamis_named_tensor& named : call->tensors) {
    const base::Field& field = *call->contract().Find(named.name);
    const std::vector<std::string> entries = EntriesOf(*call, named);
    tamis_tensor& tensor = named.tensor;
    if (!field.is_input() || static_cast<int32_t>(entries.size()) != tensor.rank) continue;
    for (int32_t i = 0; i < tensor.rank; ++i) {
      const auto size = Resized(tensor.shape[i], entries[static_cast<size_t>(i)], before, after);
      if (!size || *size == tensor.shape[i]) continue;
      tensor.shape[i] = *size;
      if (i + 1 < tensor.rank) tensor.strides[i] = 0;
    }
    if (field.is_updated())
      tensor = tamis_dense_tensor(call->Nowhere(), tensor.dtype, tensor.rank, tensor.shape);
  }
  for (const auto& [name, size] : after) {
    if (tamis_named_attribute* attribute = call->AttributeOf(name)) attribute->value.as_int = size;
  }
  tamis_named_attribute* const heads = call->AttributeOf("head_num");
  if (heads != nullptr && after.contains("N")) heads->value.as_int = after.at("N");
  (void)call->LayOutputs(CCall::Place::kNowhere);  // a call that is refused, is so without outputs
}

}  // namespace

std::vector<Change> HugeSizes(const CCall& call) {
  const Sizes before = DimensionsOf(call);
  std::vector<Change> changes;
  const auto add = [&](const Sizes& after) {
    std::string what;
    for (const auto& [name, size] : after)
      what += (what.empty() ? "" : ", ") + name + " = " + std::to_string(size);
    changes.push_back({"huge", what, Change::Expect::kEither,
                       [=](CCall* changed) { Resize(changed, before, after); }});
  };
  for (auto one = before.begin(); one != before.end(); ++one) {
    for (const int power : {31, 40, 52, 54}) add({{one->first, int64_t{1} << power}});
    for (auto other = std::next(one); other != before.end(); ++other) {
      for (const int power : {27, 31, 40})
        add({{one->first, int64_t{1} << power}, {other->first, int64_t{1} << power}});
    }
  }
  return changes;
}

}  // namespace tamis::test
