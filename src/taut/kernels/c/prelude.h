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
/* Loops over the lanes of a vector are written out, or its elements would go through memory. */
#define OVER_LANES _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++)
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
  OVER_LANES
    if (i < n) v[i] = x[i];
  return v;
#endif
}
INLINE void taut_store_part(float *x, vf v, int n) {
#if LANES == 16 && defined(__AVX512F__)
  _mm512_mask_storeu_ps(x, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  OVER_LANES
    if (i < n) x[i] = v[i];
#endif
}
/* Lanes that lie apart in memory. */
INLINE vf taut_gather(const float *x, long stride, int n) {
  vf v = {0};
  OVER_LANES
    if (i < n) v[i] = x[i * stride];
  return v;
}
INLINE void taut_scatter(float *x, vf v, long stride, int n) {
  OVER_LANES
    if (i < n) x[i * stride] = v[i];
}

/* bfloat16 is the upper half of a float. */
INLINE float taut_float_bfloat16(unsigned short x) {
  union { uint32_t i; float f; } u = {(uint32_t)x << 16};
  return u.f;
}
INLINE unsigned short taut_bfloat16(float x) {
  union { float f; uint32_t i; } u = {x};
  return x != x ? 0x7fc0 : (u.i + 0x7fff + (u.i >> 16 & 1)) >> 16;
}
INLINE float taut_float_uint8(unsigned char x) { return x; }
INLINE float taut_float_int8(signed char x) { return x; }
INLINE float taut_saturate_uint8(float x) {
  x = __builtin_rintf(x);
  return !(x > 0) ? 0 : x > 255 ? 255 : x;
}
INLINE float taut_saturate_int8(float x) {
  x = __builtin_rintf(x);
  return !(x > -128) ? -128 : x > 127 ? 127 : x;
}
INLINE unsigned char taut_uint8(float x) { return taut_saturate_uint8(x); }
INLINE signed char taut_int8(float x) { return taut_saturate_int8(x); }

INLINE vf taut_max_v(vf a, vf b);
INLINE vf taut_min_v(vf a, vf b);
INLINE vf taut_rint_v(vf x);
INLINE vf taut_saturate_uint8_v(vf x) {
  return taut_rint_v(taut_min_v(taut_max_v(x, taut_splat(0)), taut_splat(255)));
}
INLINE vf taut_saturate_int8_v(vf x) {
  return taut_rint_v(taut_min_v(taut_max_v(x, taut_splat(-128)), taut_splat(127)));
}

/* Vectors of what memory holds, as many as there are lanes; each becomes a vector of float as it is read. */
typedef unsigned char v_uint8 __attribute__((vector_size(LANES)));
typedef signed char v_int8 __attribute__((vector_size(LANES)));
typedef unsigned short v_bfloat16 __attribute__((vector_size(2 * LANES)));
#if LANES == 16 && defined(__AVX512BW__) && defined(__AVX512VL__)
INLINE vf taut_widen_uint8(v_uint8 v) { return (vf)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)v)); }
INLINE vf taut_widen_int8(v_int8 v) { return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)v)); }
INLINE vf taut_widen_bfloat16(v_bfloat16 v) {
  return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)v), 16);
}
INLINE __m512i taut_whole(vf x) { return _mm512_cvtps_epi32((__m512)x); }
INLINE v_uint8 taut_narrow_uint8(vf x) {
  x = taut_min_v(taut_max_v(x, taut_splat(0)), taut_splat(255));
  return (v_uint8)_mm512_cvtepi32_epi8(taut_whole(x));
}
INLINE v_int8 taut_narrow_int8(vf x) {
  x = taut_min_v(taut_max_v(x, taut_splat(-128)), taut_splat(127));
  return (v_int8)_mm512_cvtepi32_epi8(taut_whole(x));
}
#define TAUT_MASK(n) ((1u << (n)) - 1)
#define TAUT_PART_BYTES(kind)                                                                          \
  INLINE v_##kind taut_get_part_##kind(const void *x, int n) {                                         \
    return (v_##kind)_mm_maskz_loadu_epi8(TAUT_MASK(n), x);                                            \
  }                                                                                                    \
  INLINE void taut_put_part_##kind(void *x, v_##kind v, int n) { _mm_mask_storeu_epi8(x, TAUT_MASK(n), (__m128i)v); }
TAUT_PART_BYTES(uint8)
TAUT_PART_BYTES(int8)
INLINE v_bfloat16 taut_get_part_bfloat16(const void *x, int n) {
  return (v_bfloat16)_mm256_maskz_loadu_epi16(TAUT_MASK(n), x);
}
INLINE void taut_put_part_bfloat16(void *x, v_bfloat16 v, int n) {
  _mm256_mask_storeu_epi16(x, TAUT_MASK(n), (__m256i)v);
}
#else
INLINE vf taut_widen_uint8(v_uint8 v) { return __builtin_convertvector(__builtin_convertvector(v, vi), vf); }
INLINE vf taut_widen_int8(v_int8 v) { return __builtin_convertvector(__builtin_convertvector(v, vi), vf); }
INLINE vf taut_widen_bfloat16(v_bfloat16 v) { return (vf)(__builtin_convertvector(v, vi) << 16); }
INLINE v_uint8 taut_narrow_uint8(vf x) {
  return __builtin_convertvector(__builtin_convertvector(taut_saturate_uint8_v(x), vi), v_uint8);
}
INLINE v_int8 taut_narrow_int8(vf x) {
  return __builtin_convertvector(__builtin_convertvector(taut_saturate_int8_v(x), vi), v_int8);
}
#define TAUT_PART(kind, element)                                  \
  INLINE v_##kind taut_get_part_##kind(const element *x, int n) { \
    v_##kind v = {0};                                             \
    OVER_LANES                               \
      if (i < n) v[i] = x[i];                                     \
    return v;                                                     \
  }                                                               \
  INLINE void taut_put_part_##kind(element *x, v_##kind v, int n) { \
    OVER_LANES                               \
      if (i < n) x[i] = v[i];                                     \
  }
TAUT_PART(uint8, unsigned char)
TAUT_PART(int8, signed char)
TAUT_PART(bfloat16, unsigned short)
#endif
#if LANES == 16 && defined(__AVX512BF16__) && defined(__AVX512VL__)
INLINE v_bfloat16 taut_narrow_bfloat16(vf x) { return (v_bfloat16)_mm512_cvtneps_pbh((__m512)x); }
#else
INLINE v_bfloat16 taut_narrow_bfloat16(vf x) {
  vi bits = (vi)x;
  vi rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  vi is_nan = x != x;
  return __builtin_convertvector((rounded & ~is_nan) | (is_nan & 0x7fc0), v_bfloat16);
}
#endif
#define TAUT_LANE_TYPE(kind, element)                                                                      \
  typedef v_##kind v_##kind##_anywhere __attribute__((aligned(1), may_alias));                             \
  INLINE vf taut_load_##kind(const element *x) { return taut_widen_##kind(*(const v_##kind##_anywhere *)x); } \
  INLINE void taut_store_##kind(element *x, vf v) { *(v_##kind##_anywhere *)x = taut_narrow_##kind(v); }   \
  INLINE vf taut_load_part_##kind(const element *x, int n) {                                               \
    return taut_widen_##kind(taut_get_part_##kind(x, n));                                                  \
  }                                                                                                        \
  INLINE void taut_store_part_##kind(element *x, vf v, int n) {                                            \
    taut_put_part_##kind(x, taut_narrow_##kind(v), n);                                                     \
  }                                                                                                        \
  INLINE vf taut_gather_##kind(const element *x, long stride, int n) {                                     \
    v_##kind v = {0};                                                                                      \
    OVER_LANES                                                                        \
      if (i < n) v[i] = x[i * stride];                                                                     \
    return taut_widen_##kind(v);                                                                           \
  }                                                                                                        \
  INLINE void taut_scatter_##kind(element *x, vf v, long stride, int n) {                                  \
    v_##kind narrow = taut_narrow_##kind(v);                                                               \
    OVER_LANES                                                                        \
      if (i < n) x[i * stride] = narrow[i];                                                                \
  }
TAUT_LANE_TYPE(uint8, unsigned char)
TAUT_LANE_TYPE(int8, signed char)
TAUT_LANE_TYPE(bfloat16, unsigned short)

/* Packs: 4 bytes of neighbouring summed elements, the same in every lane; weights have one pack per lane. */
typedef int32_t pack_anywhere __attribute__((aligned(1), may_alias));
typedef vi vi_anywhere __attribute__((aligned(1), may_alias));
INLINE vi taut_splat_pack(const void *x) { return *(const pack_anywhere *)x - (vi){0}; }
/* Let the vector x be in a register from here on. */
#if defined(__x86_64__)
#define TAUT_KEEP(x) __asm__("" : "+v"(x))
#elif defined(__aarch64__)
#define TAUT_KEEP(x) __asm__("" : "+w"(x))
#else
#define TAUT_KEEP(x)
#endif
INLINE vi taut_load_pack(const void *w) { return *(const vi_anywhere *)w; }

/* s + x0 w0 + x1 w1 for two bfloat16 each. */
INLINE vf taut_dot_bfloat16(vf s, vi x, vi w) {
#if LANES == 16 && defined(__AVX512BF16__)
  return (vf)_mm512_dpbf16_ps((__m512)s, (__m512bh)w, (__m512bh)x);
#else
  const int32_t upper = (int32_t)0xffff0000;
  s += (vf)(x << 16) * (vf)(w << 16);
  return s + (vf)(x & upper) * (vf)(w & upper);
#endif
}

/* s + x0 w0 + ... + x3 w3 for four unsigned x and signed w; exact, unlike vpmaddubsw, which saturates. */
INLINE vi taut_dot_uint8(vi s, vi x, vi w) {
#if LANES == 16 && defined(__AVX512VNNI__)
  return (vi)_mm512_dpbusd_epi32((__m512i)s, (__m512i)x, (__m512i)w);
#elif LANES == 8 && defined(__AVX512VNNI__) && defined(__AVX512VL__)
  return (vi)_mm256_dpbusd_epi32((__m256i)s, (__m256i)x, (__m256i)w);
#elif LANES == 8 && defined(__AVXVNNI__)
  return (vi)_mm256_dpbusd_avx_epi32((__m256i)s, (__m256i)x, (__m256i)w);
#elif LANES == 8 && defined(__AVX2__)
  const __m256i low = _mm256_set1_epi32(0x00ff00ff);
  const __m256i x_even = _mm256_and_si256((__m256i)x, low), x_odd = _mm256_srli_epi16((__m256i)x, 8);
  const __m256i w_even = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)w, 8), 8);
  const __m256i w_odd = _mm256_srai_epi16((__m256i)w, 8);
  const __m256i pairs = _mm256_add_epi32(_mm256_madd_epi16(x_even, w_even), _mm256_madd_epi16(x_odd, w_odd));
  return (vi)_mm256_add_epi32((__m256i)s, pairs);
#else
  for (int shift = 0; shift < 32; shift += 8) s += (x >> shift & 255) * (w << (24 - shift) >> 24);
  return s;
#endif
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
    OVER_LANES x[i] = one(x[i]);    \
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
  OVER_LANES number[i] = i;
  return taut_select_v(number < n, v, rest);
}
/* Lanes that lie so far apart, a power of two, change places. */
INLINE vf taut_crossed(vf v, int apart) {
  vi from;
  OVER_LANES from[i] = i ^ apart;
#if defined(__clang__)
  vf made;
  OVER_LANES made[i] = v[from[i]];
  return made;
#else
  return __builtin_shuffle(v, from);
#endif
}
INLINE float taut_sum_lanes(vf v) {
#pragma GCC unroll 4
  for (int apart = LANES / 2; apart; apart /= 2) v += taut_crossed(v, apart);
  return v[0];
}
INLINE float taut_max_lanes(vf v) {
#pragma GCC unroll 4
  for (int apart = LANES / 2; apart; apart /= 2) v = taut_max_v(v, taut_crossed(v, apart));
  return v[0];
}

/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2, by a polynomial; 2^n in two factors, since n may be 128.
   What is not a number stays: it is the second of its bounds' comparisons, which is kept. */
INLINE vf taut_exp_v(vf x) {
  vf bounded = taut_min_v(taut_splat(89.0f), taut_max_v(taut_splat(-104.0f), x));
  vf n = taut_rint_v(bounded * 1.44269504088896341f);
  vf r = bounded - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  vf p = 0.00019909664f * r + 0.0013946462f;
  p = p * r + 0.0083332805f;
  p = p * r + 0.041666263f;
  p = p * r + 0.1666666679f;
  p = p * r + 0.5f;
  vf e = p * (r * r) + r + 1.0f;
#if LANES == 16 && defined(__AVX512F__)
  return (vf)_mm512_scalef_ps((__m512)e, (__m512)n);
#else
  vi whole = __builtin_convertvector(n, vi);
  vi half = whole >> 1;
  vf up = (vf)((half + 127) << 23), rest = (vf)((whole - half + 127) << 23);
  return e * up * rest;
#endif
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
/* The remainder that has the sign of the divisor. */
#define taut_floormod(a, b) ((a) % (b) != 0 && (((a) % (b) < 0) != ((b) < 0)) ? (a) % (b) + (b) : (a) % (b))
INLINE long long taut_intpow(long long base, long long exponent) {
  long long power = 1;
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? 1 - 2 * (exponent & 1) : 0;
  for (; exponent; exponent >>= 1, base *= base)
    if (exponent & 1) power *= base;
  return power;
}
INLINE float taut_sqrt(float x) { return __builtin_sqrtf(x); }
INLINE float taut_floor(float x) { return __builtin_floorf(x); }
INLINE float taut_ceil(float x) { return __builtin_ceilf(x); }
INLINE float taut_rint(float x) { return __builtin_rintf(x); }
#endif
