// Networks of many agents: all layers of a block of decisions while they lie in the caches. See dense.py.
// x, y and dy are [agents, rows, …] with strides of agents and rows; their last dimension is dense.
#include "vector.h"
#include <algorithm>
#include <new>
#include <vector>

namespace {

constexpr long BLOCK = 96;           // decisions that go through all layers together
constexpr int ROWS = W == 16 ? 12 : 6;  // of a tile of a product, two vectors wide: what registers hold

long padded(long width) { return (width + W - 1) / W * W; }

// a·b + c, rounded once where the processor can, and then always: compilers would choose by what surrounds it.
F fused(F a, F b, F c) {
#if defined(__AVX512F__)
  return (F)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX__) && defined(__FMA__)
  return (F)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__FP_FAST_FMAF)
  for (int l = 0; l < W; ++l) a[l] = __builtin_fmaf(a[l], b[l], c[l]);
  return a;
#else
  return a * b + c;
#endif
}

// C = start + A·B for a tile: A by strides of row and of k, B and C dense in their columns.
template <int R, int V>
void tile(long depth, const float* a, long row, long step, const float* b, long ldb, const float* start, long lds,
          float* c, long ldc) {
  F sum[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) std::memcpy(&sum[r][v], start + r * lds + v * W, sizeof(F));
  for (long k = 0; k < depth; ++k) {
    F from[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) std::memcpy(&from[v], b + k * ldb + v * W, sizeof(F));
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const F factor = splat(a[r * row + k * step]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = fused(factor, from[v], sum[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) std::memcpy(c + r * ldc + v * W, &sum[r][v], sizeof(F));
}

template <int R, int V>
void strip(long rows, long depth, const float* a, long row, long step, const float* b, long ldb, const float* start,
           long lds, float* c, long ldc) {
  for (; rows >= R; rows -= R, a += R * row, start += R * lds, c += R * ldc)
    tile<R, V>(depth, a, row, step, b, ldb, start, lds, c, ldc);
  if constexpr (R > 1)
    if (rows) strip<R - 1, V>(rows, depth, a, row, step, b, ldb, start, lds, c, ldc);
}

// C [rows, columns] = start + A·B, columns a multiple of W; start may be C itself, or one row for all (lds = 0).
void product(long rows, long columns, long depth, const float* a, long row, long step, const float* b, long ldb,
             const float* start, long lds, float* c, long ldc) {
  long j = 0;
  for (; j + 2 * W <= columns; j += 2 * W)
    strip<ROWS, 2>(rows, depth, a, row, step, b + j, ldb, start + j, lds, c + j, ldc);
  if (j < columns) strip<ROWS, 1>(rows, depth, a, row, step, b + j, ldb, start + j, lds, c + j, ldc);
}

// to [columns] += the sum of the rows of a [rows, columns], columns a multiple of W.
template <int V>
void add_rows_of(long rows, long columns, const float* a, float* to) {
  F sum[V];
  std::memcpy(sum, to, sizeof sum);
  for (long r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      F x;
      std::memcpy(&x, a + r * columns + v * W, sizeof x);
      sum[v] += x;
    }
  std::memcpy(to, sum, sizeof sum);
}
void add_rows(long rows, long columns, const float* a, float* to) {
  long j = 0;
  for (; j + 8 * W <= columns; j += 8 * W) add_rows_of<8>(rows, columns, a + j, to + j);
  for (; j < columns; j += W) add_rows_of<1>(rows, columns, a + j, to + j);
}

// 1/(1 + e^-z): Cody and Waite's reduction, a polynomial of degree 6 for e^r, |r| <= ln 2 / 2. Below -88 it is 0.
F sigmoid(F z) {
  const F x = max_(min_(-z, splat(87.0f)), splat(-87.0f));
  const F shift = splat(12582912.0f), n = (x * 1.44269504f + shift) - shift;
  const F r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  F p = splat(1.0f / 720);
  for (float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) p = fused(p, r, splat(c));
  return where_(lt_(z, splat(-88.0f)), F{}, 1.0f / (1.0f + p * (F)((to_int_of_float(n) + 127) << 23)));
}

void silu(const float* z, float* h, long size) {
  for (long i = 0; i < size; i += W) {
    F x;
    std::memcpy(&x, z + i, sizeof x);
    x *= sigmoid(x);
    std::memcpy(h + i, &x, sizeof x);
  }
}

// h = silu(z), and dz *= its derivative there.
void silu_and_slope(const float* z, float* h, float* dz, long size) {
  for (long i = 0; i < size; i += W) {
    F x, d;
    std::memcpy(&x, z + i, sizeof x);
    std::memcpy(&d, dz + i, sizeof d);
    const F s = sigmoid(x), y = x * s;
    d *= s + y * (1.0f - s);
    std::memcpy(h + i, &y, sizeof y);
    std::memcpy(dz + i, &d, sizeof d);
  }
}

// What is computed, of what, and where it lies.
struct Call {
  long agents, rows, layers, threads;
  const long* widths;          // [layers + 1]
  const float* weights;        // [agents, own()]: of each layer [in, out], and then its bias [out]
  const float* x;
  long x_agent, x_row;
  const float *mean, *inverse;  // [agents, in], or of one for all; none where x is standardised
  long mean_agent;
  float* const* z;  // of each hidden layer [agents, rows, padded width], before its activation; none: not kept

  long own() const { return before(layers); }
  long before(long layer) const {
    long size = 0;
    for (long l = 0; l < layer; ++l) size += (widths[l] + 1) * widths[l + 1];
    return size;
  }
  const float* weight(long l, long agent) const { return weights + agent * own() + before(l); }
  long out(long l) const { return padded(widths[l + 1]); }
  long widest(long from) const { return padded(*std::max_element(widths + from, widths + layers + 1)); }
};

// Parts that decisions are dealt into: the same whatever the number of threads, so that sums are, too; few where many
// agents are tasks enough.
long parts_of(const Call& c) { return std::max(1l, std::min(c.rows / (2 * BLOCK), (15 + c.agents) / c.agents)); }

// Memory a thread uses again, one piece after another.
struct Scratch {
  std::vector<float> memory;
  size_t used = 0;
  float* take(long size) {
    used += size;
    return memory.data() + used - size;
  }
  void reset(long size) {
    if ((long)memory.size() < size) memory.assign(size, 0.0f);
    used = 0;
  }
};
thread_local Scratch scratch;

// A layer's weights and bias of one agent, padded with zeros to whole vectors where they must be.
struct Layer {
  const float *weight, *bias;
  Layer(const Call& c, long l, long agent) {
    const long in = c.widths[l], out = c.widths[l + 1], wide = padded(out);
    weight = c.weight(l, agent);
    bias = weight + in * out;
    if (wide == out) return;
    float *w = scratch.take(in * wide), *b = scratch.take(wide);
    for (long i = 0; i < in; ++i) {
      std::memcpy(w + i * wide, weight + i * out, out * sizeof(float));
      std::fill(w + i * wide + out, w + (i + 1) * wide, 0.0f);
    }
    std::memcpy(b, bias, out * sizeof(float));
    std::fill(b + out, b + wide, 0.0f);
    weight = w, bias = b;
  }
};

float within_5(float x) { return x < -5.0f ? -5.0f : x > 5.0f ? 5.0f : x; }  // not a number stays what it is

// The inputs of a block, standardised within ±5; where they lie, if they are already.
const float* inputs(const Call& c, long agent, long first, long rows, float* room, long& row) {
  const float* x = c.x + agent * c.x_agent + first * c.x_row;
  const long width = c.widths[0];
  row = c.x_row;
  if (!c.mean) return x;
  const float *mean = c.mean + agent * c.mean_agent, *inverse = c.inverse + agent * c.mean_agent;
  for (long r = 0; r < rows; ++r)
#pragma GCC ivdep
    for (long i = 0; i < width; ++i)
      room[r * width + i] = within_5((x[r * c.x_row + i] - mean[i]) * inverse[i]);
  row = width;
  return room;
}

void forward_part(const Call& c, long agent, long begin, long end, float* y, long y_agent, long y_row) {
  const long wide = BLOCK * c.widest(1), last = c.layers - 1, outputs = c.widths[c.layers];
  long size = BLOCK * c.widths[0] + 2 * wide;
  for (long l = 0; l < c.layers; ++l) size += (c.widths[l] + 1) * c.out(l);
  scratch.reset(size);
  float *standard = scratch.take(BLOCK * c.widths[0]), *room[2] = {scratch.take(wide), scratch.take(wide)};
  std::vector<Layer> layers;
  for (long l = 0; l < c.layers; ++l) layers.emplace_back(c, l, agent);
  for (long at = begin; at < end; at += BLOCK) {
    const long rows = std::min(BLOCK, end - at);
    long row;
    const float* h = inputs(c, agent, at, rows, standard, row);
    for (long l = 0; l < c.layers; ++l) {
      const long wide = c.out(l);
      float *next = room[l % 2], *z = l < last && c.z ? c.z[l] + (agent * c.rows + at) * wide : next;
      product(rows, wide, c.widths[l], h, row, 1, layers[l].weight, wide, layers[l].bias, 0, z, wide);
      if (l < last) silu(z, next, rows * wide);
      h = next, row = wide;
    }
    float* to = y + agent * y_agent + at * y_row;
    for (long r = 0; r < rows; ++r) std::copy_n(h + r * row, outputs, to + r * y_row);
  }
}

// Sums over the decisions of a part, of all layers one after another: [in + 1, padded out], weights and then the bias.
long sums_of(const Call& c) {
  long size = 0;
  for (long l = 0; l < c.layers; ++l) size += (c.widths[l] + 1) * c.out(l);
  return size;
}

void backward_part(const Call& c, long agent, long begin, long end, const float* dy, long dy_agent, long dy_row,
                   float* dx, float* sum) {
  const long last = c.layers - 1, outputs = c.widths[c.layers], width = c.widths[0];
  const long lowest = dx ? 0 : 1, widest = c.widest(lowest), wide = BLOCK * widest;
  long size = BLOCK * width + 3 * wide + widest;
  for (long l = lowest; l < c.layers; ++l) size += c.widths[l + 1] * padded(c.widths[l]);
  scratch.reset(size);
  float *standard = scratch.take(BLOCK * width), *hidden = scratch.take(wide), *zeros = scratch.take(widest);
  float* room[2] = {scratch.take(wide), scratch.take(wide)};
  std::fill_n(zeros, widest, 0.0f);
  std::vector<float*> turned(c.layers);  // weights [out, padded in]
  for (long l = lowest; l < c.layers; ++l) {
    const long in = c.widths[l], out = c.widths[l + 1], wide = padded(in);
    const float* weight = c.weight(l, agent);
    turned[l] = scratch.take(out * wide);
    for (long o = 0; o < out; ++o) {
      for (long i = 0; i < in; ++i) turned[l][o * wide + i] = weight[i * out + o];
      std::fill(turned[l] + o * wide + in, turned[l] + (o + 1) * wide, 0.0f);
    }
  }
  for (long at = begin; at < end; at += BLOCK) {
    const long rows = std::min(BLOCK, end - at);
    long row;
    const float* x = inputs(c, agent, at, rows, standard, row);
    float* dz = room[last % 2];
    const float* from = dy + agent * dy_agent + at * dy_row;
    for (long r = 0; r < rows; ++r) {
      std::copy_n(from + r * dy_row, outputs, dz + r * c.out(last));
      std::fill(dz + r * c.out(last) + outputs, dz + (r + 1) * c.out(last), 0.0f);
    }
    float* end_of_sums = sum ? sum + sums_of(c) : nullptr;
    for (long l = last; l >= 0; --l) {
      const long in = c.widths[l], wide = c.out(l), below = padded(in);
      float* dh = room[(l + 1) % 2];
      const float* h = x;
      long h_row = row;
      if (l >= lowest) product(rows, below, c.widths[l + 1], dz, wide, 1, turned[l], below, zeros, 0, dh, below);
      if (l > 0) {
        silu_and_slope(c.z[l - 1] + (agent * c.rows + at) * below, hidden, dh, rows * below);
        h = hidden, h_row = below;
      }
      if (sum) {
        float *bias = end_of_sums - wide, *weight = bias - in * wide;
        product(in, wide, rows, h, 1, h_row, dz, wide, weight, wide, weight, wide);
        add_rows(rows, wide, dz, bias);
        end_of_sums = weight;
      }
      dz = dh;
    }
    if (!dx) continue;
    for (long r = 0; r < rows; ++r) {
      float* to = dx + (agent * c.rows + at + r) * width;
      const float *d = dz + r * padded(width), *raw = c.x + agent * c.x_agent + (at + r) * c.x_row;
      if (!c.mean) {
        std::copy_n(d, width, to);
        continue;
      }
      const float *mean = c.mean + agent * c.mean_agent, *inverse = c.inverse + agent * c.mean_agent;
      for (long i = 0; i < width; ++i)
        to[i] = abs_((raw[i] - mean[i]) * inverse[i]) <= 5.0f ? d[i] * inverse[i] : 0.0f;
    }
  }
}

// Threads worth waking for `tasks` of together so many multiplications.
int threads_for(const Call& c, long tasks) {
  long each = 0;
  for (long l = 0; l < c.layers; ++l) each += c.widths[l] * c.widths[l + 1];
  const long worth = each * c.rows * c.agents / 1000000;
  return (int)std::max(1l, std::min({c.threads, tasks, worth}));
}

// Does every task, on some threads; false where memory ran out.
template <class Task>
bool all(const Call& c, const Task& task) {
  const long parts = parts_of(c), tasks = c.agents * parts;
  bool enough = true;
#pragma omp parallel for num_threads(threads_for(c, tasks)) schedule(static)
  for (long t = 0; t < tasks; ++t) {
    const long agent = t / parts, part = t % parts;
    try {
      task(t, agent, c.rows * part / parts, c.rows * (part + 1) / parts);
    } catch (const std::bad_alloc&) {
#pragma omp atomic write
      enough = false;
    }
  }
  return enough;
}

// The sums of an agent's parts, as gradients of its weights.
void add_up(const Call& c, long agent, float* first, float* gradient) {
  const long size = sums_of(c);
  for (long part = 1; part < parts_of(c); ++part)
#pragma GCC ivdep
    for (long i = 0; i < size; ++i) first[i] += first[part * size + i];
  for (long l = 0; l < c.layers; ++l) {
    const long in = c.widths[l], out = c.widths[l + 1], wide = c.out(l);
    for (long i = 0; i <= in; ++i, first += wide, gradient += out) std::copy_n(first, out, gradient);
  }
}
}  // namespace

extern "C" long lane() { return W; }

// Numbers that `backward` needs room for.
extern "C" long sums_size(const Call* call) { return call->agents * parts_of(*call) * sums_of(*call); }

// Outputs y for inputs x; false where memory ran out, as of `backward`.
extern "C" bool forward(const Call* call, float* y, long y_agent, long y_row) {
  return all(*call, [&](long, long agent, long begin, long end) {
    forward_part(*call, agent, begin, end, y, y_agent, y_row);
  });
}

// Gradients by weights (none where sums is) and by inputs (none where dx is, [agents, rows, in]) of what has the
// gradient dy by the outputs.
extern "C" bool backward(const Call* call, const float* dy, long dy_agent, long dy_row, float* dx, float* sums,
                         float* gradient) {
  const Call& c = *call;
  const long parts = parts_of(c), size = sums_of(c);
  const bool enough = all(c, [&](long task, long agent, long begin, long end) {
    float* sum = sums ? sums + task * size : nullptr;
    if (sum) std::fill_n(sum, size, 0.0f);
    backward_part(c, agent, begin, end, dy, dy_agent, dy_row, dx, sum);
  });
  if (!enough || !sums) return enough;
#pragma omp parallel for num_threads(threads_for(c, c.agents)) schedule(static)
  for (long agent = 0; agent < c.agents; ++agent)
    add_up(c, agent, sums + agent * parts * size, gradient + agent * c.own());
  return true;
}
