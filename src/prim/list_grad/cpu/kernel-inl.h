// The second phase of gradients over lists, one level: sums of keys.
#include "prim/blocks/find-inl.h"
#include "prim/blocks/gradients-inl.h"
#include "prim/list_grad/cpu/positions-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace list_grad {

using prim::RoundedUp;
using prim::list_grad::FactorStride;
using prim::list_grad::KeyScratch;
using prim::list_grad::kLine;
using prim::list_grad::kRangeKeys;
using prim::list_grad::kStripColumns;
using prim::list_grad::Output;
using prim::list_grad::Part;
using prim::list_grad::Piece;

// Columns [begin, end) of a key's sums.
struct Columns {
  int64_t begin;
  int64_t end;
};
inline Columns Common(const Columns& strip, int64_t column, int64_t dims) {
  return {column > strip.begin ? column : strip.begin, Smaller(column + dims, strip.end)};
}

// One range of positions, one strip of columns.
struct Item {
  const Args& a;
  const KeyScratch at;
  const Part& part;
  Range positions;
  int64_t strip;
  Columns columns;
  float* scratch;
  float* sums;  // of positions.begin

  float* SumsOf(int64_t position) const {
    return sums + (position - positions.begin) * kStripColumns;
  }
};

// The strip's columns of the rows that a table's factors multiply, 0 where there are none. Says
// which columns there are, in whole lines of the strip; none: {0, 0}.
inline Columns WidenPieces(const Item& item, const Sequence& s, int64_t token, int64_t table) {
  const Args& a = item.a;
  float* const rows = item.scratch + item.at.rows;
  Columns found = {0, 0};
  for (int64_t i = 0; i < a.piece_count; ++i) {
    const Piece& piece = a.pieces[i];
    const Columns common = Common(item.columns, piece.column, piece.dims);
    if (piece.table != table || common.begin >= common.end) continue;
    const int64_t begin = common.begin - item.columns.begin;
    const int64_t count = common.end - common.begin;
    // Up to the line's end zeros; a piece that comes later, to the right, overwrites them.
    const int64_t first = found.end > found.begin ? begin : begin / kLine * kLine;
    const int64_t end = RoundedUp(begin + count, kLine);
    const int64_t bytes = (common.begin - piece.column) * prim::BytesOf(a.attend.element);
    for (int64_t h = 0; h < a.attend.group; ++h) {
      float* const row = rows + h * kStripColumns;
      for (int64_t c = first; c < begin; ++c) row[c] = 0.0f;
      Widen(a.attend.element, HeadAt(piece.rows, s, token, h) + bytes, count, row + begin);
      for (int64_t c = begin + count; c < end; ++c) row[c] = 0.0f;
    }
    found = {found.end > found.begin ? found.begin : first, end};
  }
  return found;
}

// What the pairs [begin, end) of a token add. Positions are distinct, so rows of a tile are, too.
inline void AddPairs(const Item& item, const Token& token, int64_t begin, int64_t end,
                     const float* factors, const Columns& columns) {
  const Args& a = item.a;
  const int64_t stride = FactorStride(a);
  const float* const rows = item.scratch + item.at.rows + columns.begin;
  for (int64_t first = begin; first < end; first += kTileKeys) {
    const int64_t count = Smaller(kTileKeys, end - first);
    float* to[kTileKeys + kTileHeight];
    for (int64_t k = 0; k < RoundedUp(count, kTileHeight); ++k) {
      to[k] = columns.begin +
              (k < count ? item.SumsOf(token.positions[first + k]) : item.scratch + item.at.nobody);
    }
    AddProducts({factors + first * stride, stride, 1}, rows, kStripColumns, a.attend.group, to,
                count, columns.end - columns.begin);
  }
}

inline void AddTokens(const Item& item, void* shared) {
  const Args& a = item.a;
  const Slot slot(a);
  for (int64_t g = item.part.group_begin; g < item.part.group_begin + item.part.groups; ++g) {
    const Token token = TokenIn(SlotOf(a, g, slot, shared), slot);
    const int64_t begin = FirstFrom(token.positions, token.count, item.positions.begin);
    const int64_t end =
        begin + FirstFrom(token.positions + begin, token.count - begin, item.positions.end);
    if (begin == end) continue;
    const Group& group = a.groups[g];
    for (int64_t table = 0; table < a.tables; ++table) {
      const Columns columns =
          WidenPieces(item, a.attend.sequences[group.sequence], group.token, table);
      if (columns.begin < columns.end)
        AddPairs(item, token, begin, end, token.table(table), columns);
    }
  }
}

inline void WriteGrads(const Item& item) {
  const Args& a = item.a;
  for (int64_t i = 0; i < a.output_count; ++i) {
    const Output& output = a.outputs[i];
    const Columns common = Common(item.columns, output.column, output.dims);
    if (output.rows.data == nullptr || common.begin >= common.end) continue;
    const int64_t bytes = (common.begin - output.column) * prim::BytesOf(a.attend.element);
    for (int64_t p = item.positions.begin; p < item.positions.end; ++p) {
      uint8_t* const to = output.rows.data + item.part.batch * output.rows.page_stride +
                          (item.part.key_begin + p) * output.rows.row_stride + bytes;
      Narrow(a.attend.element, item.SumsOf(p) + common.begin - item.columns.begin, 1.0f,
             common.end - common.begin, to);
    }
  }
}

}  // namespace list_grad
}  // namespace

void ListGradKeys(const void* args, int64_t index, void* scratch, void* shared) {
  using namespace list_grad;
  const auto& a = *static_cast<const Args*>(args);
  const int64_t at = LastBeginningBy(a.parts, a.part_count, &Part::item_begin, index);
  const Part& part = a.parts[at];
  const int64_t place = index - part.item_begin;
  const int64_t begin = place / a.strips * kRangeKeys;
  const int64_t strip = place % a.strips;
  const Columns columns = {strip * kStripColumns, Smaller(a.columns, (strip + 1) * kStripColumns)};
  Item item = {a,
               KeyScratch(a),
               part,
               {begin, Smaller(begin + kRangeKeys, part.keys)},
               strip,
               columns,
               static_cast<float*>(scratch),
               nullptr};
  item.sums = item.scratch + item.at.sums;
  if (!part.first || !part.last) {
    item.sums = static_cast<float*>(shared) + Shared(a).sums +
                (strip * a.sum_rows + part.sum_begin + begin) * kStripColumns;
  }
  const int64_t keys = item.positions.end - item.positions.begin;
  if (part.first) Clear(item.sums, keys * kStripColumns);
  AddTokens(item, shared);
  if (part.last) WriteGrads(item);
}

}  // namespace tamis::TAMIS_LEVEL
