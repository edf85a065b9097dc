// Vectors of grids: arithmetic by GCC's and Clang's vector types, the rest by the functions below.
// A mask is an integer vector of 0 and -1, as comparisons give it; of one grid, an integer 0 or -1.
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__)
#define W 16
#elif defined(__AVX__)
#define W 8
#else
#define W 4
#endif

typedef float F __attribute__((vector_size(4 * W)));
typedef int32_t I __attribute__((vector_size(4 * W)));
typedef uint8_t U __attribute__((vector_size(W)));
union Uniform { float f; int32_t i; };
union Slot { F f; I i; };

static inline F splat(float x) { return x - F{}; }
static inline I splat(int32_t x) { return x + I{}; }

static inline F load(const float* p) { __builtin_prefetch(p + 2 * W); F x; std::memcpy(&x, p, sizeof x); return x; }
static inline I load(const int32_t* p) { I x; std::memcpy(&x, p, sizeof x); return x; }
static inline I load(const uint8_t* p) { U x; std::memcpy(&x, p, sizeof x); return __builtin_convertvector(x, I) != 0; }
// A value of 1 or 4 bytes for every grid of a vector.
static inline void fill(char* to, const char* from, int size) {
  if (size == 1) { std::memset(to, *from, W); return; }
  int32_t one;
  std::memcpy(&one, from, 4);
  const I all = splat(one);
  std::memcpy(to, &all, sizeof all);
}
// Threads for so many blocks: to wake one for fewer than some of them costs more than it saves.
static inline int worth_waking(int threads, long blocks) {
  const long most = blocks / 4;
  return most < 1 ? 1 : most < threads ? (int)most : threads;
}
// Past the caches where results are larger than they are: an ordinary store reads the line first.
#define BEYOND_CACHE (1 << 20)
static inline void store(float* p, F x, bool past) {
#if defined(__AVX512F__)
  if (past) return _mm512_stream_ps(p, (__m512)x);
#elif defined(__AVX__)
  if (past) return _mm256_stream_ps(p, (__m256)x);
#endif
  std::memcpy(p, &x, sizeof x);
}
static inline void fence() {
#if defined(__AVX__)
  _mm_sfence();
#endif
}
static inline void store(int32_t* p, I x, bool) { std::memcpy(p, &x, sizeof x); }
static inline void store(uint8_t* p, I x, bool) { U y = __builtin_convertvector(-x, U); std::memcpy(p, &y, sizeof y); }

static inline F where_(I m, F a, F b) { return m ? a : b; }
static inline I where_(I m, I a, I b) { return m ? a : b; }
static inline float where_(int32_t m, float a, float b) { return m ? a : b; }
static inline int32_t where_(int32_t m, int32_t a, int32_t b) { return m ? a : b; }

#if defined(__AVX512F__)
static inline F min_(F a, F b) { return (F)_mm512_min_ps((__m512)a, (__m512)b); }
static inline F max_(F a, F b) { return (F)_mm512_max_ps((__m512)a, (__m512)b); }
static inline F sqrt_(F a) { return (F)_mm512_sqrt_ps((__m512)a); }
#elif defined(__AVX__)
static inline F min_(F a, F b) { return (F)_mm256_min_ps((__m256)a, (__m256)b); }
static inline F max_(F a, F b) { return (F)_mm256_max_ps((__m256)a, (__m256)b); }
static inline F sqrt_(F a) { return (F)_mm256_sqrt_ps((__m256)a); }
#else
static inline F min_(F a, F b) { return a < b ? a : b; }
static inline F max_(F a, F b) { return a > b ? a : b; }
static inline F sqrt_(F a) { for (int l = 0; l < W; ++l) a[l] = sqrtf(a[l]); return a; }
#endif
static inline I min_(I a, I b) { return a < b ? a : b; }
static inline I max_(I a, I b) { return a > b ? a : b; }
static inline float min_(float a, float b) { return a < b ? a : b; }
static inline float max_(float a, float b) { return a > b ? a : b; }
static inline int32_t min_(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t max_(int32_t a, int32_t b) { return a > b ? a : b; }
static inline float sqrt_(float a) { return sqrtf(a); }

static inline F abs_(F a) { return (F)((I)a & 0x7fffffff); }
static inline I abs_(I a) { return a < 0 ? -a : a; }
static inline float abs_(float a) { return fabsf(a); }
static inline int32_t abs_(int32_t a) { return a < 0 ? -a : a; }

static inline I lt_(F a, F b) { return a < b; }
static inline I lt_(I a, I b) { return a < b; }
static inline I le_(F a, F b) { return a <= b; }
static inline I le_(I a, I b) { return a <= b; }
static inline I eq_(F a, F b) { return a == b; }
static inline I eq_(I a, I b) { return a == b; }
static inline int32_t lt_(float a, float b) { return -(a < b); }
static inline int32_t lt_(int32_t a, int32_t b) { return -(a < b); }
static inline int32_t le_(float a, float b) { return -(a <= b); }
static inline int32_t le_(int32_t a, int32_t b) { return -(a <= b); }
static inline int32_t eq_(float a, float b) { return -(a == b); }
static inline int32_t eq_(int32_t a, int32_t b) { return -(a == b); }

static inline I mod_(I a, I b) { I r = a % b; return r < 0 ? r + b : r; }  // b > 0
static inline int32_t mod_(int32_t a, int32_t b) { int32_t r = a % b; return r < 0 ? r + b : r; }
static inline F floor_(F a) { for (int l = 0; l < W; ++l) a[l] = floorf(a[l]); return a; }
static inline F round_(F a) { for (int l = 0; l < W; ++l) a[l] = nearbyintf(a[l]); return a; }
static inline float floor_(float a) { return floorf(a); }
static inline float round_(float a) { return nearbyintf(a); }
static inline I look_up(const int32_t* table, I at) { for (int l = 0; l < W; ++l) at[l] = table[at[l]]; return at; }
static inline int32_t look_up(const int32_t* table, int32_t at) { return table[at]; }

static inline F to_float_of_int(I a) { return __builtin_convertvector(a, F); }
static inline F to_float_of_bool(I a) { return (F)(a & (I)splat(1.0f)); }
static inline I to_int_of_bool(I a) { return -a; }
static inline I to_int_of_float(F a) { return __builtin_convertvector(a, I); }
static inline float to_float_of_int(int32_t a) { return (float)a; }
static inline float to_float_of_bool(int32_t a) { return a ? 1.0f : 0.0f; }
static inline int32_t to_int_of_bool(int32_t a) { return -a; }
static inline int32_t to_int_of_float(float a) { return (int32_t)a; }

#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else  // GCC has the other only from version 12 on
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, I{__VA_ARGS__})
#endif

// Halves of two vectors, interleaved: a0 b0 a1 b1 … and the upper ones likewise.
#if W == 16
#define LOWER 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define UPPER 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif W == 8
#define LOWER 0, 8, 1, 9, 2, 10, 3, 11
#define UPPER 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOWER 0, 4, 1, 5
#define UPPER 2, 6, 3, 7
#endif

// Rows to columns, in log2(W) perfect shuffles. (Gather instructions are slow where processors guard them.)
static inline void transpose(F (&rows)[W]) {
  F other[W];
#pragma GCC unroll 4
  for (int pass = 1; pass < W; pass *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < W / 2; ++i) {
      other[2 * i] = SHUFFLE(rows[i], rows[i + W / 2], LOWER);
      other[2 * i + 1] = SHUFFLE(rows[i], rows[i + W / 2], UPPER);
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) rows[i] = other[i];
  }
}
