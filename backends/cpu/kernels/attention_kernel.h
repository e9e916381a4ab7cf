// Attention with an online softmax (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022,
// arXiv:2205.14135) over vectors V, as vector_math_kernel.h describes them. The context is taken
// kKeyBlock keys at a time; nothing is as large as the context.
//
// With many query rows, a lane is a row: the scores of a block stand as [keys, rows], so that the
// softmax needs no sums across lanes and no key has to be transposed. With few, where reading the
// cache is what takes time, lanes run along a key or value, which is decoded in registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/attention_task.h"
#include "backends/cpu/kernels/vector_math_kernel.h"

namespace sluice::cpu {

// Up to so many rows, lanes run along the cache's rows.
inline constexpr int64_t kFewRows = 8;

// Before the first key: a finite number, so that differences from it are numbers.
inline constexpr float kNoScore = -__FLT_MAX__;

// --- Rows of the cache ----------------------------------------------------------------------

// Calls use.template operator()<DType>() for the cache's dtype.
template <typename V, typename Use>
inline void WithDType(DType dtype, const Use& use) {
  if (dtype == DType::kF16) return use.template operator()<DType::kF16>();
  if (dtype == DType::kBF16) return use.template operator()<DType::kBF16>();
  if (dtype == DType::kQ8_0) return use.template operator()<DType::kQ8_0>();
  return use.template operator()<DType::kF32>();
}

// Where the keys or the values of a block are. Those that are needed next are fetched while the
// ones before are computed with, because the processor does not foresee the step to another page.
struct RowPointers {
  const std::byte* at[kKeyBlock];
  int64_t row_bytes;
};

template <typename V>
inline void Fetch(const RowPointers& rows, int64_t j) {
  constexpr int64_t kLine = 64;
  constexpr int kForReading = 0, kToSecondLevel = 2;
  for (int64_t i = 0; i < rows.row_bytes; i += kLine) {
    __builtin_prefetch(rows.at[j] + i, kForReading, kToSecondLevel);
  }
}

template <typename V>
void Locate(const AttentionTask& task, const PagedRows& rows, int64_t first, int64_t n,
            RowPointers* pointers) {
  pointers->row_bytes = rows.row_bytes;
  int64_t page = first / task.page_size, offset = first % task.page_size;
  for (int64_t j = 0; j < n; ++j) {
    pointers->at[j] = rows.data + task.pages[page] * rows.page_bytes + offset * rows.row_bytes;
    if (++offset < task.page_size) continue;
    offset = 0;
    ++page;
  }
}

// The blocks of a task's keys, one after the other.
template <typename V>
class KeyBlocks {
 public:
  explicit KeyBlocks(const AttentionTask& task) : task_(task), first_(task.begin) {
    if (done()) return;
    Locate<V>(task_, task_.k, first_, n(), &keys_);
    Locate<V>(task_, task_.v, first_, n(), &values_);
  }
  bool done() const { return first_ >= task_.end; }
  int64_t first() const { return first_; }
  int64_t n() const { return Size(first_); }
  const RowPointers& keys() const { return keys_; }
  const RowPointers& values() const { return values_; }

  // Once the block's keys are not needed any more: keys() becomes the next block's.
  void MoveKeys() {
    const int64_t next = first_ + kKeyBlock;
    if (next < task_.end) Locate<V>(task_, task_.k, next, Size(next), &keys_);
  }
  // Once its values are not needed, either.
  void MoveOn() {
    first_ += kKeyBlock;
    if (!done()) Locate<V>(task_, task_.v, first_, n(), &values_);
  }

 private:
  int64_t Size(int64_t first) const {
    return task_.end - first < kKeyBlock ? task_.end - first : kKeyBlock;
  }

  const AttentionTask& task_;
  int64_t first_;
  RowPointers keys_ = {}, values_ = {};
};

// Numbers i .. dim - 1, fewer than a vector has, and zeros after them.
template <typename V, DType kDType>
inline typename V::Floats LastElements(const std::byte* row, int64_t i, int64_t dim) {
  if constexpr (kDType == DType::kQ8_0) {
    return V::Broadcast(0);  // whole blocks are whole vectors
  } else {
    constexpr int64_t kBytes = kBytesOf<kDType>;
    std::byte rest[V::kLanes * kBytes] = {};
    if (i < dim) __builtin_memcpy(rest, row + i * kBytes, static_cast<size_t>((dim - i) * kBytes));
    return LoadElements<V, kDType>(rest);
  }
}

// out[j * stride]: row j as floats, zeros to the end of the last vector. The stride is padded.
template <typename V, DType kDType>
void DecodeRows(const RowPointers& rows, const RowPointers& next, int64_t n, int64_t dim,
                float* out, int64_t stride) {
  for (int64_t j = 0; j < n; ++j, out += stride) {
    Fetch<V>(next, j);
    const std::byte* row = rows.at[j];
    int64_t i = 0;
    for (; i + V::kLanes <= dim; i += V::kLanes) V::Store(out + i, ElementsAt<V, kDType>(row, i));
    for (; i < stride; i += V::kLanes) V::Store(out + i, LastElements<V, kDType>(row, i, dim));
  }
}

// --- Products of blocks ---------------------------------------------------------------------

// c[r, i] = keep[r] * c[r, i] + sum over k of a[r, k] * b[k, i]. Without `keep`, c is not read.
struct BlockProduct {
  const float* a;
  int64_t a_row, a_col;  // distances between neighbours
  const float* b;
  int64_t b_row;
  int64_t depth;
  float* c;
  int64_t c_row;
  const float* keep;
};

// kRows rows of c from `row` on, kVectors vectors of each from column `col` on.
template <typename V, int kRows, int kVectors>
void MultiplyTile(const BlockProduct& p, int64_t row, int64_t col) {
  using Floats = typename V::Floats;
  float* c = p.c + row * p.c_row + col;
  Floats sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      sums[r][i] = p.keep == nullptr ? V::Broadcast(0)
                                     : V::Mul(V::Broadcast(p.keep[row + r]),
                                              V::Load(c + r * p.c_row + i * V::kLanes));
    }
  }
  const float* a = p.a + row * p.a_row;
  const float* b = p.b + col;
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_col, b += p.b_row) {
    Floats columns[kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) columns[i] = V::Load(b + i * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Floats factor = V::Broadcast(a[r * p.a_row]);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) sums[r][i] = V::Fma(factor, columns[i], sums[r][i]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) V::Store(c + r * p.c_row + i * V::kLanes, sums[r][i]);
  }
}

// The last `rows` <= kRows rows.
template <typename V, int kRows, int kVectors>
void MultiplyRest(const BlockProduct& p, int64_t row, int64_t rows, int64_t col) {
  if (rows == kRows) return MultiplyTile<V, kRows, kVectors>(p, row, col);
  if constexpr (kRows > 1) MultiplyRest<V, kRows - 1, kVectors>(p, row, rows, col);
}

template <typename V, int kVectors>
void MultiplyColumns(const BlockProduct& p, int64_t rows, int64_t col) {
  constexpr int kRows = 6;
  int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) MultiplyTile<V, kRows, kVectors>(p, row, col);
  if (row < rows) MultiplyRest<V, kRows - 1, kVectors>(p, row, rows - row, col);
}

// The product of `rows` rows and `cols` columns, whole vectors.
template <typename V>
void Multiply(const BlockProduct& p, int64_t rows, int64_t cols) {
  constexpr int kPanel = V::kPanelVectors * V::kLanes;
  int64_t col = 0;
  for (; col + kPanel <= cols; col += kPanel) MultiplyColumns<V, V::kPanelVectors>(p, rows, col);
  for (; col < cols; col += V::kLanes) MultiplyColumns<V, 1>(p, rows, col);
}

// --- Many rows ------------------------------------------------------------------------------

// The queries, scaled, as columns: [dim, PaddedRow(rows)], with zeros where there is no row.
template <typename V>
void TransposeQueries(const AttentionTask& task, float* out) {
  const int64_t stride = PaddedRow(task.rows);
  for (int64_t r = 0; r < stride; ++r) {
    if (r >= task.rows) {
      for (int64_t i = 0; i < task.k.dim; ++i) out[i * stride + r] = 0;
      continue;
    }
    const float* q = task.q + r / task.group * task.token_stride + r % task.group * task.k.dim;
    for (int64_t i = 0; i < task.k.dim; ++i) out[i * stride + r] = q[i] * task.scale;
  }
}

// Scores that their row does not see become -infinity.
template <typename V>
void HideColumns(const AttentionTask& task, int64_t first, int64_t n, float* scores) {
  const auto hidden = V::Broadcast(-__builtin_inff());
  const int64_t stride = PaddedRow(task.rows);
  for (int64_t j = 0; j < n; ++j) {
    const auto key = V::Broadcast(static_cast<float>(first + j));
    float* row = scores + j * stride;
    for (int64_t r = 0; r < stride; r += V::kLanes) {
      auto score = V::Load(row + r);
      score = V::IfLess(key, V::Load(task.row_begin + r), hidden, score);
      score = V::IfLess(key, V::Load(task.row_end + r), score, hidden);
      V::Store(row + r, score);
    }
  }
}

// Scores [n, PaddedRow(rows)] become powers; `keep` is what earlier sums are to be multiplied by.
template <typename V>
void PowersOfColumns(const AttentionTask& task, int64_t n, float* scores, float* keep) {
  const int64_t stride = PaddedRow(task.rows);
  for (int64_t r = 0; r < stride; r += V::kLanes) {
    const auto before = V::Load(task.largest + r);
    auto largest = before;
    for (int64_t j = 0; j < n; ++j) largest = V::Max(V::Load(scores + j * stride + r), largest);
    const auto kept = Exp<V>(V::Sub(before, largest));
    auto sum = V::Mul(V::Load(task.sum + r), kept);
    for (int64_t j = 0; j < n; ++j) {
      const auto power = Exp<V>(V::Sub(V::Load(scores + j * stride + r), largest));
      V::Store(scores + j * stride + r, power);
      sum = V::Add(sum, power);
    }
    V::Store(task.largest + r, largest);
    V::Store(task.sum + r, sum);
    V::Store(keep + r, kept);
  }
}

// Whether every row sees all of the keys first .. first + n - 1.
template <typename V>
bool AllVisible(const AttentionTask& task, int64_t first, int64_t n) {
  return static_cast<float>(first) >= task.row_begin[task.rows - 1] &&
         static_cast<float>(first + n) <= task.row_end[0];
}

template <typename V>
void AttendManyRows(const AttentionTask& task) {
  const int64_t rows = PaddedRow(task.rows);
  const int64_t k_row = PaddedRow(task.k.dim), v_row = PaddedRow(task.v.dim);
  float* queries = task.scratch;
  float* scores = queries + k_row * rows;
  float* keep = scores + kKeyBlock * rows;
  float* keys = keep + rows;
  float* values = keys + kKeyBlock * k_row;
  const BlockProduct dots{keys, k_row, 1, queries, rows, task.k.dim, scores, rows, nullptr};
  TransposeQueries<V>(task, queries);
  for (KeyBlocks<V> blocks(task); !blocks.done(); blocks.MoveOn()) {
    const int64_t first = blocks.first(), n = blocks.n();
    const BlockProduct sums{scores, 1, rows, values, v_row, n, task.weighted, v_row, keep};
    WithDType<V>(task.k.dtype, [&]<DType kDType>() {
      DecodeRows<V, kDType>(blocks.keys(), blocks.values(), n, task.k.dim, keys, k_row);
    });
    blocks.MoveKeys();
    Multiply<V>(dots, n, rows);
    if (!AllVisible<V>(task, first, n)) HideColumns<V>(task, first, n, scores);
    PowersOfColumns<V>(task, n, scores, keep);
    WithDType<V>(task.v.dtype, [&]<DType kDType>() {
      DecodeRows<V, kDType>(blocks.values(), blocks.keys(), n, task.v.dim, values, v_row);
    });
    Multiply<V>(sums, task.rows, v_row);
  }
}

// --- Few rows -------------------------------------------------------------------------------

// scores[r * kKeyBlock + j] = q[r * dim ...] times key j, for kRows rows of q.
template <typename V, DType kDType, int kRows>
void DotRows(const RowPointers& keys, const RowPointers& next, int64_t n, const float* q,
             int64_t dim, float* scores) {
  for (int64_t j = 0; j < n; ++j) {
    Fetch<V>(next, j);
    typename V::Floats sums[kRows];
    for (auto& sum : sums) sum = V::Broadcast(0);
    for (int64_t i = 0; i < dim; i += V::kLanes) {
      const auto key = ElementsAt<V, kDType>(keys.at[j], i);
      for (int r = 0; r < kRows; ++r) sums[r] = V::Fma(V::Load(q + r * dim + i), key, sums[r]);
    }
    for (int r = 0; r < kRows; ++r) scores[r * kKeyBlock + j] = V::Sum(sums[r]);
  }
}

// out[r * stride + i] = keep[r] * out[r * stride + i] + sum of powers[r * kKeyBlock + j] times
// element i of value j, for kRows rows and kVectors vectors from column `col` on.
template <typename V, DType kDType, int kRows, int kVectors>
void AddValues(const RowPointers& values, const RowPointers& next, int64_t n, const float* powers,
               const float* keep, int64_t col, float* out, int64_t stride) {
  typename V::Floats sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < kVectors; ++i) {
      sums[r][i] = V::Mul(V::Broadcast(keep[r]), V::Load(out + r * stride + col + i * V::kLanes));
    }
  }
  for (int64_t j = 0; j < n; ++j) {
    Fetch<V>(next, j);
    for (int i = 0; i < kVectors; ++i) {
      const auto value = ElementsAt<V, kDType>(values.at[j], col + i * V::kLanes);
      for (int r = 0; r < kRows; ++r) {
        sums[r][i] = V::Fma(V::Broadcast(powers[r * kKeyBlock + j]), value, sums[r][i]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < kVectors; ++i) {
      V::Store(out + r * stride + col + i * V::kLanes, sums[r][i]);
    }
  }
}

// The few rows of a task, block of keys by block of keys.
template <typename V>
class FewRows {
 public:
  explicit FewRows(const AttentionTask& task)
      : task_(task),
        queries_(task.scratch),
        scores_(queries_ + task.rows * PaddedRow(task.k.dim)),
        keep_(scores_ + task.rows * kKeyBlock),
        blocks_(task) {
    for (int64_t r = 0; r < task.rows; ++r) {
      const float* q = task.q + r / task.group * task.token_stride + r % task.group * task.k.dim;
      VectorMathOf<V>::Scale(q, task.scale, task.k.dim, queries_ + r * task.k.dim);
    }
  }

  void Attend() {
    for (; !blocks_.done(); blocks_.MoveOn()) {
      WithDType<V>(task_.k.dtype, [&]<DType kDType>() {
        ForRows([&]<int kRows>(int64_t row) {
          DotRows<V, kDType, kRows>(blocks_.keys(), blocks_.values(), blocks_.n(),
                                    queries_ + row * task_.k.dim, task_.k.dim,
                                    scores_ + row * kKeyBlock);
        });
      });
      blocks_.MoveKeys();
      for (int64_t row = 0; row < task_.rows; ++row) Powers(row);
      WithDType<V>(task_.v.dtype, [&]<DType kDType>() {
        ForRows([&]<int kRows>(int64_t row) { AddBlock<kDType, kRows>(row); });
      });
    }
  }

 private:
  // Calls use.template operator()<kRows>(row) for groups of rows, of four while there are four.
  template <typename Use>
  void ForRows(const Use& use) const {
    int64_t row = 0;
    for (; row + 4 <= task_.rows; row += 4) use.template operator()<4>(row);
    if (task_.rows - row == 3) use.template operator()<3>(row);
    if (task_.rows - row == 2) use.template operator()<2>(row);
    if (task_.rows - row == 1) use.template operator()<1>(row);
  }

  // The row's scores become powers.
  void Powers(int64_t row) {
    float* scores = scores_ + row * kKeyBlock;
    const int64_t first = blocks_.first(), n = blocks_.n();
    if (!AllVisible<V>(task_, first, n)) {
      for (int64_t j = 0; j < n; ++j) {
        const auto key = static_cast<float>(first + j);
        const bool visible = key >= task_.row_begin[row] && key < task_.row_end[row];
        if (!visible) scores[j] = -__builtin_inff();
      }
    }
    const float before = task_.largest[row], block = LargestOf<V>(scores, n);
    const float largest = block > before ? block : before;
    float keep = before - largest;
    VectorMathOf<V>::ExpOf(&keep, 1, &keep);
    keep_[row] = keep;
    task_.sum[row] = task_.sum[row] * keep + ExpRow<V>(scores, largest, n, scores);
    task_.largest[row] = largest;
  }

  template <DType kDType, int kRows>
  void AddBlock(int64_t row) {
    const int64_t stride = PaddedRow(task_.v.dim);
    const auto add = [&]<int kVectors>(int64_t col) {
      AddValues<V, kDType, kRows, kVectors>(blocks_.values(), blocks_.keys(), blocks_.n(),
                                            scores_ + row * kKeyBlock, keep_ + row, col,
                                            task_.weighted + row * stride, stride);
    };
    constexpr int kVectors = V::kPanelVectors;
    int64_t col = 0;
    for (; col + kVectors * V::kLanes <= task_.v.dim; col += kVectors * V::kLanes) {
      add.template operator()<kVectors>(col);
    }
    for (; col < task_.v.dim; col += V::kLanes) add.template operator()<1>(col);
  }

  const AttentionTask& task_;
  float* queries_;
  float* scores_;
  float* keep_;
  KeyBlocks<V> blocks_;
};

template <typename V>
void Attend(const AttentionTask& task) {
  const int64_t rows = PaddedRow(task.rows), v_row = PaddedRow(task.v.dim);
  for (int64_t r = 0; r < rows; ++r) {
    task.largest[r] = kNoScore;
    task.sum[r] = 0;
  }
  for (int64_t i = 0; i < task.rows * v_row; ++i) task.weighted[i] = 0;
  const bool whole_vectors = task.k.dim % V::kLanes == 0 && task.v.dim % V::kLanes == 0;
  if (task.rows <= kFewRows && whole_vectors) {
    FewRows<V>(task).Attend();
  } else {
    AttendManyRows<V>(task);
  }
}

}  // namespace sluice::cpu
