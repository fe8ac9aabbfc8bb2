#include "registry/locate.h"

#include <algorithm>
#include <iterator>

namespace tamis::registry {
namespace {

// The symbols of all contracts' outputs; a test holds the list against them.
constexpr DimensionWord kWords[] = {
    {"B", "sequence", "sequences"},
    {"S", "token", "tokens"},
    {"S1", "token", "tokens"},
    {"T", "token", "tokens"},
    {"T1", "token", "tokens"},
    {"Tc", "window", "windows"},
    {"N", "head", "heads"},
    {"N2", "kv head", "kv heads"},
    {"key_value_head_num", "kv head", "kv heads"},
    {"Tk", "key", "keys"},
    {"S2", "key", "keys"},
    {"T2", "key", "keys"},
    {"Ni", "index head", "index heads"},
    {"D", "channel", "channels"},
    {"D2", "channel", "channels"},
    {"Di", "channel", "channels"},
    {"Dr", "channel", "channels"},
    {"Lq", "channel", "channels"},
    {"latent", "channel", "channels"},
    {"rope", "channel", "channels"},
    {"rope_dim", "channel", "channels"},
    {"K", "place", "places"},
    {"compress_block_size", "place", "places"},
    {"select_block_count", "place", "places"},
    {"sparse_count", "place", "places"},
    {"blocks", "block", "blocks"},
    {"Bk", "sequence", "sequences"},
    {"pages", "page", "pages"},
    {"page_size", "slot", "slots"},
    {"panels", "panel", "panels"},
    {"panel_bytes", "byte", "bytes"},
    {"R", "row", "rows"},
    {"width", "byte", "bytes"},
    {"rows", "row", "rows"},
    {"columns", "column", "columns"},
};

// Of a symbol that is not listed.
constexpr DimensionWord kElement = {"", "element", "elements"};

std::string One(const std::string& symbol) {
  const DimensionWord* word = FindWord(symbol);
  return (word != nullptr ? word : &kElement)->one;
}

std::string Many(const std::string& symbol) {
  const DimensionWord* word = FindWord(symbol);
  return (word != nullptr ? word : &kElement)->many;
}

// "head 2", "tokens 200 to 202", "heads 1, 3 and 7", "19 tokens from 3 to 200".
std::string Some(const std::string& symbol, const std::vector<int64_t>& indices) {
  constexpr size_t kListed = 4;
  const auto text = [](int64_t index) { return std::to_string(index); };
  const std::string first = text(indices.front()), last = text(indices.back());
  if (indices.size() == 1) return One(symbol) + " " + first;
  const auto span = static_cast<size_t>(indices.back() - indices.front()) + 1;
  if (span == indices.size() && span > 2) return Many(symbol) + " " + first + " to " + last;
  if (indices.size() > kListed) {
    return text(static_cast<int64_t>(indices.size())) + " " + Many(symbol) + " from " + first +
           " to " + last;
  }
  std::string list = first;
  for (size_t i = 1; i < indices.size(); ++i)
    list += (i + 1 == indices.size() ? " and " : ", ") + text(indices[i]);
  return Many(symbol) + " " + list;
}

bool Fills(const Spread& spread, size_t dim) {
  return static_cast<int64_t>(spread.Of(dim).size()) == spread.shape()[dim];
}

// Of the sequences that end at `ends`; ends.size(): padding.
size_t SequenceOf(const std::vector<int64_t>& ends, int64_t index) {
  return static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), index) - ends.begin());
}

int64_t BeginOf(const std::vector<int64_t>& ends, size_t sequence) {
  return sequence == 0 ? 0 : ends[sequence - 1];
}

// " (tokens 70 to 72 of sequence 2)"; nothing where they belong to several.
std::string WithinSequence(const std::string& symbol, const std::vector<int64_t>& ends,
                           std::vector<int64_t> indices) {
  const size_t sequence = SequenceOf(ends, indices.front());
  if (SequenceOf(ends, indices.back()) != sequence) return "";
  if (sequence == ends.size()) return " (padding)";
  for (int64_t& index : indices) index -= BeginOf(ends, sequence);
  return " (" + Some(symbol, indices) + " of sequence " + std::to_string(sequence) + ")";
}

}  // namespace

const DimensionWord* FindWord(std::string_view symbol) {
  const auto* const found =
      std::find_if(std::begin(kWords), std::end(kWords),
                   [&](const DimensionWord& w) { return w.symbol == symbol; });
  return found == std::end(kWords) ? nullptr : found;
}

std::vector<int64_t> IndexOf(const std::vector<int64_t>& shape, int64_t element) {
  std::vector<int64_t> index(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    index[d] = element % shape[d];
    element /= shape[d];
  }
  return index;
}

std::string IndexText(const std::vector<int64_t>& index) { return base::ShapeText(index); }

Spread::Spread(std::vector<int64_t> shape) : shape_(std::move(shape)) {}

void Spread::Add(const std::vector<int64_t>& index) {
  if (met_.empty()) {
    for (const int64_t size : shape_) met_.emplace_back(static_cast<size_t>(size));
  }
  for (size_t d = 0; d < index.size(); ++d) met_[d][static_cast<size_t>(index[d])] = true;
  ++count_;
}

void Spread::Merge(const Spread& other) {
  count_ += other.count_;
  if (met_.empty()) {
    met_ = other.met_;
    return;
  }
  for (size_t d = 0; d < other.met_.size(); ++d) {
    for (size_t i = 0; i < other.met_[d].size(); ++i) met_[d][i] = met_[d][i] || other.met_[d][i];
  }
}

std::vector<int64_t> Spread::Of(size_t dim) const {
  std::vector<int64_t> indices;
  if (met_.empty()) return indices;
  for (size_t i = 0; i < met_[dim].size(); ++i) {
    if (met_[dim][i]) indices.push_back(static_cast<int64_t>(i));
  }
  return indices;
}

Locator::Locator(const base::Contract& contract, const base::Field& field, const void* params,
                 const base::Dims& dims) {
  for (const std::string& entry : base::SplitDims(contract.FormOf(field, params)))
    dims_.push_back({entry, dims.Ends(entry)});
}

std::string Locator::Describe(const std::vector<int64_t>& index, const Spread& spread) const {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (size_t d = 0; d < dims_.size(); ++d) {
    if (spread.shape()[d] == 1 || Fills(spread, d)) continue;
    const auto& [symbol, ends] = dims_[d];
    int64_t at = index[d];
    if (ends != nullptr) {
      const size_t sequence = SequenceOf(*ends, at);
      add(sequence == ends->size() ? "padding" : "sequence " + std::to_string(sequence));
      at -= BeginOf(*ends, sequence);
    }
    add(One(symbol) + " " + std::to_string(at));
  }
  return text;
}

std::string Locator::Pattern(const Spread& spread) const {
  std::string text;
  int64_t box = 1;
  for (size_t d = dims_.size(); d-- > 0;) {
    const std::vector<int64_t> indices = spread.Of(d);
    box *= static_cast<int64_t>(indices.size());
    if (spread.shape()[d] == 1) continue;
    const auto& [symbol, ends] = dims_[d];
    std::string part = Fills(spread, d)
                           ? "all " + std::to_string(indices.size()) + " " + Many(symbol)
                           : Some(symbol, indices);
    if (ends != nullptr && !Fills(spread, d)) part += WithinSequence(symbol, *ends, indices);
    // The first "of" binds what lies within a token, commas list the rest.
    const bool all = text.rfind("all ", 0) == 0 && text.find(" of ") == std::string::npos;
    text += text.empty() ? part : (all ? " of " : ", ") + part;
  }
  if (text.empty()) text = "the only element";
  if (spread.count() == box) return text;
  return std::to_string(spread.count()) + " of the " + std::to_string(box) + " elements in " + text;
}

}  // namespace tamis::registry
