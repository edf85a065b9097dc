// Windows of consecutive table rows, scaled and turned to feature-major: see profiles/table.py, `read_windows`.
// And actions, turned likewise.
#include "vector.h"
#include <algorithm>
#include <vector>

namespace {

long padded(long size) { return (size + W - 1) / W * W; }

struct Job {
  float* out;             // [S, F, N, B]
  const float* table;     // [R, F]
  const int32_t* first;   // [N, B]
  const int32_t* then;    // [N, B]
  const int32_t* change;  // [B]
  const float* scale;     // [N, B]
  const float* scale_then;
  long steps, width, agents, grids;
};

// Up to W grids of one agent: their windows lie scattered, each in one piece or two. They are scaled into a scratch
// that stays in the cache, and leave it by columns.
void block(const Job& j, float* scratch, long n, long b, bool past) {
  const long count = std::min<long>(W, j.grids - b), size = j.steps * j.width, at = n * j.grids + b, room = padded(size);
  for (long k = 0; k < count; ++k) {
    const long change = std::min<long>(j.change[b + k], j.steps) * j.width;
    const float* from = j.table + (long)j.first[at + k] * j.width;
    const float* onward = j.table + (long)j.then[at + k] * j.width - change;
    const float factor = j.scale[at + k], later = j.scale_then[at + k];
    float* to = scratch + k * room;
#pragma GCC ivdep
    for (long i = 0; i < change; ++i) to[i] = from[i] * factor;
#pragma GCC ivdep
    for (long i = change; i < size; ++i) to[i] = onward[i] * later;
  }
  for (long i = 0; i < size; i += W) {
    F rows[W];
    for (long l = 0; l < W; ++l) std::memcpy(&rows[l], scratch + l * room + i, sizeof(F));
    transpose(rows);
    float* out = j.out + i * j.agents * j.grids + at;
    for (long l = 0; l < std::min<long>(W, size - i); ++l, out += j.agents * j.grids)
      if (count == W)
        store(out, rows[l], past);
      else
        std::memcpy(out, &rows[l], count * sizeof(float));
  }
}

void fetch(const Job& j, long n, long b) {
  const long last = std::min<long>(b + W, j.grids), bytes = j.steps * j.width * 4;
  for (long k = b; k < last; ++k) {
    const char* p = (const char*)(j.table + (long)j.first[n * j.grids + k] * j.width);
    for (long i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
  }
}

// Up to W grids' actions [B, N, A] to [A, N, B].
void turned(float* out, const float* in, long b, long agents, long width, long grids) {
  const long size = agents * width, count = std::min<long>(W, grids - b);
  for (long i = 0; i < size; i += W) {
    const long some = std::min<long>(W, size - i);
    F rows[W] = {};
    for (long l = 0; l < count; ++l)
      if (some == W)
        std::memcpy(&rows[l], in + (b + l) * size + i, sizeof(F));
      else
        std::memcpy(&rows[l], in + (b + l) * size + i, some * sizeof(float));
    transpose(rows);
    for (long l = 0; l < some; ++l) {
      const long agent = (i + l) / width, entry = (i + l) % width;
      float* to = out + (entry * agents + agent) * grids + b;
      if (count == W)
        std::memcpy(to, &rows[l], sizeof(F));
      else
        std::memcpy(to, &rows[l], count * sizeof(float));
    }
  }
}

}  // namespace

extern "C" void turn(float* out, const float* in, long agents, long width, long grids, int threads) {
  const long blocks = (grids + W - 1) / W;
  threads = worth_waking(threads, blocks);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (long k = 0; k < blocks; ++k) turned(out, in, k * W, agents, width, grids);
}

extern "C" void run(
    float* out, const float* table, const int32_t* first, const int32_t* then, const int32_t* change,
    const float* scale, const float* scale_then, long steps, long width, long agents, long grids, int threads) {
  const Job j{out, table, first, then, change, scale, scale_then, steps, width, agents, grids};
  const long blocks = (grids + W - 1) / W, all = blocks * agents;
  const bool past = grids % 16 == 0 && steps * width * agents * grids * 4 > BEYOND_CACHE;
  threads = worth_waking(threads, all);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> scratch(W * padded(steps * width));
#pragma omp for schedule(static)
    for (long k = 0; k < all; ++k) {
      if (k + 1 < all) fetch(j, (k + 1) % agents, (k + 1) / agents * W);
      block(j, scratch.data(), k % agents, k / agents * W, past);
    }
    fence();
  }
}
