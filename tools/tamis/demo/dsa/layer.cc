#include "tools/tamis/demo/dsa/layer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/dtype.h"
#include "base/errors.h"
#include "tools/tamis/demo/random.h"

namespace tamis::tools::demo::dsa {
namespace {

// Everything here is a small multiple of a power of two, so that bf16 holds every sum exactly.
constexpr float kEntry = 1.0f / 32;  // of a random matrix: 1 / sqrt(kQueryRank), nearly
constexpr float kRopeShare = 0.25f;  // channels that the position turns are this much quieter
constexpr float kLouder = 1.5f;      // of the channels that an attention head listens to
constexpr int kPlaces = 4;           // of a hidden channel in the query rank
constexpr int64_t kBlocks = kLatent / kNope;  // parts of the latent that heads look at

// A matrix of random signs times an entry per column, by rows.
class Signs {
 public:
  Signs(uint64_t seed, int64_t columns, int64_t quiet_first, int64_t quiet_last)
      : columns_(columns), entries_(static_cast<size_t>(kQueryRank * columns)) {
    for (int64_t row = 0; row < kQueryRank; ++row) {
      for (int64_t c = 0; c < columns; ++c) {
        const bool quiet = c >= quiet_first && c < quiet_last;
        const uint64_t bits = Mix(Mix(seed) ^ static_cast<uint64_t>(row * columns + c));
        entries_[static_cast<size_t>(row * columns + c)] =
            ((bits & 1) != 0 ? kEntry : -kEntry) * (quiet ? kRopeShare : 1);
      }
    }
  }
  int64_t columns() const { return columns_; }
  const float* row(int64_t index) const { return entries_.data() + index * columns_; }

 private:
  int64_t columns_;
  std::vector<float> entries_;
};

struct Place {
  int64_t column = 0;
  float entry = 0;
};

// Where channel `channel` of a hidden state's part goes: the row of w_dq.
std::array<Place, kPlaces> Sketch(int64_t channel) {
  std::array<Place, kPlaces> places;
  uint64_t bits = Mix(static_cast<uint64_t>(channel));
  for (Place& place : places) {
    place.column = static_cast<int64_t>((bits >> 1) % kQueryRank);
    place.entry = (bits & 1) != 0 ? 0.5f : -0.5f;
    bits = Mix(bits);
  }
  return places;
}

std::vector<uint16_t> QueryDown() {
  std::vector<uint16_t> w(kHidden * kQueryRank);
  for (int64_t channel = 0; channel < kPart; ++channel) {
    std::array<float, kQueryRank> row = {};
    for (const Place& place : Sketch(channel))
      row[static_cast<size_t>(place.column)] += place.entry;
    std::transform(row.begin(), row.end(), w.begin() + (kContextChannel + channel) * kQueryRank,
                   base::FloatToBFloat16);
  }
  return w;
}

// The product of w_dq and `signs`, for the content: rows [kHidden, signs.columns()].
std::vector<uint16_t> KeyDown(const Signs& signs) {
  const int64_t columns = signs.columns();
  std::vector<uint16_t> w(static_cast<size_t>(kHidden * columns));
  std::vector<float> sum(static_cast<size_t>(columns));
  for (int64_t channel = 0; channel < kPart; ++channel) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (const Place& place : Sketch(channel)) {
      for (int64_t c = 0; c < columns; ++c)
        sum[static_cast<size_t>(c)] += place.entry * signs.row(place.column)[c];
    }
    std::transform(sum.begin(), sum.end(), w.begin() + (kContentChannel + channel) * columns,
                   base::FloatToBFloat16);
  }
  return w;
}

// Head h looks at block h % kBlocks of the latent, and at the rope.
std::vector<uint16_t> QueryUp(const Signs& latent) {
  std::vector<uint16_t> w;
  w.reserve(kQueryRank * kHeads * (kNope + kRope));
  for (int64_t row = 0; row < kQueryRank; ++row) {
    std::array<uint16_t, kLatent + kRope> bits;
    std::transform(latent.row(row), latent.row(row) + kLatent + kRope, bits.begin(),
                   base::FloatToBFloat16);
    for (int64_t head = 0; head < kHeads; ++head) {
      const auto nope = bits.begin() + head % kBlocks * kNope;
      w.insert(w.end(), nope, nope + kNope);
      w.insert(w.end(), bits.begin() + kLatent, bits.end());
    }
  }
  return w;
}

std::vector<uint16_t> KeyUp() {
  const std::vector<bool> listens = ChooseChannels(kHeads, kNope);
  std::vector<uint16_t> w(kHeads * kNope * kLatent);
  for (int64_t head = 0; head < kHeads; ++head) {
    for (int64_t c = 0; c < kNope; ++c) {
      const int64_t row = head * kNope + c;
      if (!listens[static_cast<size_t>(row)]) continue;
      w[static_cast<size_t>(row * kLatent + head % kBlocks * kNope + c)] =
          base::FloatToBFloat16(kLouder);
    }
  }
  return w;
}

std::vector<uint16_t> IndexQueryUp(const Signs& index) {
  const std::vector<bool> listens = ChooseChannels(kIndexHeads, kIndexDim);
  std::vector<uint16_t> w(kQueryRank * kIndexHeads * kIndexDim);
  for (int64_t row = 0; row < kQueryRank; ++row) {
    for (int64_t i = 0; i < kIndexHeads * kIndexDim; ++i) {
      if (!listens[static_cast<size_t>(i)]) continue;
      w[static_cast<size_t>(row * kIndexHeads * kIndexDim + i)] =
          base::FloatToBFloat16(index.row(row)[i % kIndexDim]);
    }
  }
  return w;
}

// All heads weigh the same.
std::vector<uint16_t> IndexWeights() {
  std::vector<uint16_t> w(kHidden * kIndexHeads);
  std::fill_n(w.begin() + kConstantChannel * kIndexHeads, kIndexHeads,
              base::FloatToBFloat16(1.0f / kIndexHeads));
  return w;
}

Status Pack(const Context& context, const std::vector<uint16_t>& matrix, int64_t rows,
            std::vector<uint16_t>* packed) {
  const int64_t columns = static_cast<int64_t>(matrix.size()) / rows;
  packed->resize(matrix.size());
  nd_to_nz::Params params;
  params.weight = {matrix.data(), DType::kBFloat16, {rows, columns}};
  params.output = {packed->data(), DType::kBFloat16, {rows, columns}};
  return nd_to_nz::run(params, context);
}

}  // namespace

double ScaleValue() {
  const double yarn = 0.1 * std::log(40.0) + 1;
  return yarn * yarn / std::sqrt(static_cast<double>(kNope + kRope));
}

int64_t Weights::bytes() const {
  size_t elems = 0;
  for (const auto* w :
       {&w_dq, &w_uq_qr, &w_uk, &w_dkv_kr, &w_idx_qb, &w_idx_k, &w_idx_proj, &ones, &zeros})
    elems += w->size();
  return static_cast<int64_t>(elems * sizeof(uint16_t));
}

Status MakeWeights(const Context& context, Weights* weights) {
  const Signs index(1, kIndexDim, 0, kRope);
  const Signs latent(2, kLatent + kRope, kLatent, kLatent + kRope);
  TAMIS_RETURN_IF_ERROR(Pack(context, QueryDown(), kHidden, &weights->w_dq));
  TAMIS_RETURN_IF_ERROR(Pack(context, QueryUp(latent), kQueryRank, &weights->w_uq_qr));
  TAMIS_RETURN_IF_ERROR(Pack(context, KeyDown(latent), kHidden, &weights->w_dkv_kr));
  TAMIS_RETURN_IF_ERROR(Pack(context, IndexQueryUp(index), kQueryRank, &weights->w_idx_qb));
  TAMIS_RETURN_IF_ERROR(Pack(context, KeyDown(index), kHidden, &weights->w_idx_k));
  TAMIS_RETURN_IF_ERROR(Pack(context, IndexWeights(), kHidden, &weights->w_idx_proj));
  weights->w_uk = KeyUp();
  weights->ones.assign(kQueryRank, base::FloatToBFloat16(1));
  weights->zeros.assign(kIndexDim, 0);
  return Status::Ok();
}

void FillRope(int64_t first, int64_t count, std::vector<uint16_t>* cos,
              std::vector<uint16_t>* sin) {
  cos->resize(static_cast<size_t>(count * kRope));
  sin->resize(static_cast<size_t>(count * kRope));
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t k = 0; k < kRope / 2; ++k) {
      const double angle =
          static_cast<double>(first + t) * std::pow(10000.0, -2.0 * static_cast<double>(k) / kRope);
      for (int64_t half : {int64_t{0}, kRope / 2}) {
        const auto at = static_cast<size_t>(t * kRope + half + k);
        (*cos)[at] = base::DoubleToBFloat16(std::cos(angle));
        (*sin)[at] = base::DoubleToBFloat16(std::sin(angle));
      }
    }
  }
}

}  // namespace tamis::tools::demo::dsa
