/* What every kernel builds on: vectors of LANES floats in the compiler's own vector types, so that one text
   serves AVX-512, AVX2, NEON, WebAssembly and plain C, and elementary functions of our own, since those of
   libc are computed one element at a time. Relative errors are in single precision, measured in the tests. */
#ifndef TAUT_PRELUDE
#define TAUT_PRELUDE
#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

void *memcpy(void *restrict, const void *restrict, size_t);
void *memset(void *, int, size_t);

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float vf_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))

INLINE vf taut_splat(float x) { return x - (vf){0}; }
INLINE vf taut_load(const float *x) { return *(const vf_anywhere *)x; }
INLINE void taut_store(float *x, vf v) { *(vf_anywhere *)x = v; }

/* The first n lanes; the others are zero, and are not touched in memory. */
INLINE vf taut_load_part(const float *x, int n) {
#if LANES == 16 && defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
#else
  vf v = {0};
  for (int i = 0; i < LANES; i++)
    if (i < n) v[i] = x[i];
  return v;
#endif
}
INLINE void taut_store_part(float *x, vf v, int n) {
#if LANES == 16 && defined(__AVX512F__)
  _mm512_mask_storeu_ps(x, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  for (int i = 0; i < LANES; i++)
    if (i < n) x[i] = v[i];
#endif
}
/* Lanes that lie apart in memory. */
INLINE vf taut_gather(const float *x, long stride, int n) {
  vf v = {0};
  for (int i = 0; i < LANES; i++)
    if (i < n) v[i] = x[i * stride];
  return v;
}
INLINE void taut_scatter(float *x, vf v, long stride, int n) {
  for (int i = 0; i < LANES; i++)
    if (i < n) x[i * stride] = v[i];
}

INLINE vf taut_select_v(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }
INLINE vf taut_abs_v(vf x) { return (vf)((vi)x & 0x7fffffff); }
#if LANES == 16 && defined(__AVX512F__)
INLINE vf taut_max_v(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf taut_min_v(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf taut_sqrt_v(vf x) { return (vf)_mm512_sqrt_ps((__m512)x); }
INLINE vf taut_rint_v(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, 8); }
INLINE vf taut_floor_v(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, 9); }
INLINE vf taut_ceil_v(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, 10); }
#elif LANES == 8 && defined(__AVX__)
INLINE vf taut_max_v(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf taut_min_v(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vf taut_sqrt_v(vf x) { return (vf)_mm256_sqrt_ps((__m256)x); }
INLINE vf taut_rint_v(vf x) { return (vf)_mm256_round_ps((__m256)x, 8); }
INLINE vf taut_floor_v(vf x) { return (vf)_mm256_round_ps((__m256)x, 9); }
INLINE vf taut_ceil_v(vf x) { return (vf)_mm256_round_ps((__m256)x, 10); }
#else
INLINE vf taut_max_v(vf a, vf b) { return taut_select_v(a > b, a, b); }
INLINE vf taut_min_v(vf a, vf b) { return taut_select_v(a < b, a, b); }
#define TAUT_BY_LANE(name, one)                          \
  INLINE vf taut_##name##_v(vf x) {                      \
    for (int i = 0; i < LANES; i++) x[i] = one(x[i]);    \
    return x;                                            \
  }
TAUT_BY_LANE(sqrt, __builtin_sqrtf)
TAUT_BY_LANE(rint, __builtin_rintf)
TAUT_BY_LANE(floor, __builtin_floorf)
TAUT_BY_LANE(ceil, __builtin_ceilf)
#endif

/* The first n lanes of one vector, the rest of another. */
INLINE vf taut_first(vf v, vf rest, int n) {
  vi number;
  for (int i = 0; i < LANES; i++) number[i] = i;
  return taut_select_v(number < n, v, rest);
}
INLINE float taut_sum_lanes(vf v) {
  float s = 0;
  for (int width = LANES / 2; width; width /= 2)
    for (int i = 0; i < width; i++) v[i] += v[i + width];
  s = v[0];
  return s;
}
INLINE float taut_max_lanes(vf v) {
  for (int width = LANES / 2; width; width /= 2)
    for (int i = 0; i < width; i++) v[i] = v[i] > v[i + width] ? v[i] : v[i + width];
  return v[0];
}

/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2, by a polynomial; 2^n in two factors, since n may be 128. */
INLINE vf taut_exp_v(vf x) {
  vf bounded = taut_min_v(taut_max_v(x, taut_splat(-104.0f)), taut_splat(89.0f));
  vf n = taut_rint_v(bounded * 1.44269504088896341f);
  vf r = bounded - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  vf p = 0.00019909664f * r + 0.0013946462f;
  p = p * r + 0.0083332805f;
  p = p * r + 0.041666263f;
  p = p * r + 0.1666666679f;
  p = p * r + 0.5f;
  vf e = p * (r * r) + r + 1.0f;
  vi whole = __builtin_convertvector(n, vi);
  vi half = whole >> 1;
  vf up = (vf)((half + 127) << 23), rest = (vf)((whole - half + 127) << 23);
  return taut_select_v(x != x, x, e * up * rest);
}
INLINE vf taut_sigmoid_v(vf x) { return 1.0f / (1.0f + taut_exp_v(-x)); }

/* tanh(x) = x + x^3 P(x^2) near zero, where the other form would cancel. */
INLINE vf taut_tanh_v(vf x) {
  vf size = taut_abs_v(x), z = x * x;
  vf p = -0.0057729013f * z + 0.020700531f;
  p = p * z + -0.05375864f;
  p = p * z + 0.13331668f;
  p = p * z + -0.3333329f;
  vf e = taut_exp_v(-2.0f * size);
  vf far = (1.0f - e) / (1.0f + e);
  far = (vf)((vi)far | ((vi)x & (int32_t)0x80000000));
  return taut_select_v(size < 0.625f, x + x * z * p, far);
}

/* erf(x) = x P(x^2) / Q(x^2), within one to single precision from |x| = 4 on. */
INLINE vf taut_erf_v(vf x) {
  vf b = taut_min_v(taut_max_v(x, taut_splat(-4.0f)), taut_splat(4.0f)), z = b * b;
  vf p = 1.988937077e-6f * z + 0.00028409379576f;
  p = p * z + 0.0038653192593f;
  p = p * z + 0.05304509575921f;
  p = p * z + 0.19313450937846f;
  p = p * z + 1.12837914231703f;
  vf q = 3.741805817533e-5f * z + 0.00118109325583f;
  q = q * z + 0.01517091086824f;
  q = q * z + 0.11517823569862f;
  q = q * z + 0.50449362846546f;
  q = q * z + 1.0f;
  return taut_select_v(x != x, x, b * p / q);
}

/* log(x) = n ln 2 + 2 atanh(s), s = f / (2 + f), m = 1 + f in sqrt(1/2) .. sqrt(2). */
INLINE vf taut_log_v(vf x) {
  vi is_tiny = x < 1.17549435e-38f;
  vf scaled = taut_select_v(is_tiny, x * 8388608.0f, x);
  vi bits = (vi)scaled - 0x3f3504f3;
  vi n = (bits >> 23) - (is_tiny & 23);
  vf m = (vf)((bits & 0x007fffff) + 0x3f3504f3);
  vf f = m - 1.0f, s = f / (f + 2.0f), z = s * s;
  vf p = 0.22222222f * z + 0.28571429f;
  p = p * z + 0.4f;
  p = p * z + 0.66666667f;
  vf log_m = 2.0f * s + s * z * p;
  vf whole = __builtin_convertvector(n, vf);
  vf y = whole * 0.693359375f + (log_m + whole * -2.12194440e-4f);
  y = taut_select_v(x == 0.0f, taut_splat(-__builtin_inff()), y);
  y = taut_select_v(x < 0.0f, taut_splat(__builtin_nanf("")), y);
  return taut_select_v((x == __builtin_inff()) | (x != x), x, y);
}

/* By element: those of one lane. */
#define taut_max(a, b) ((a) > (b) ? (a) : (b))
#define taut_min(a, b) ((a) < (b) ? (a) : (b))
#define taut_abs(a) ((a) < 0 ? -(a) : (a))
#define TAUT_ONE(name) \
  INLINE float taut_##name(float x) { return taut_##name##_v(taut_splat(x))[0]; }
TAUT_ONE(exp)
TAUT_ONE(sigmoid)
TAUT_ONE(tanh)
TAUT_ONE(erf)
TAUT_ONE(log)
INLINE float taut_sqrt(float x) { return __builtin_sqrtf(x); }
INLINE float taut_floor(float x) { return __builtin_floorf(x); }
INLINE float taut_ceil(float x) { return __builtin_ceilf(x); }
INLINE float taut_rint(float x) { return __builtin_rintf(x); }
#endif
