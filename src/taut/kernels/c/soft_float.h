/* float32 on integers, for processors without a floating-point unit, in place of prelude.h: the same kernels are
   compiled as C++, whose operators become calls as a C compiler's would on such a processor. One lane.

   Generic: IEEE 754 to the bit, with subnormals, infinities, signed zeros, round to nearest even, and NaNs as
   x86 makes them. Fast (TAUT_SOFT_FAST): operands and results are normal numbers or zero, on which it gives the
   same bits; results that are too small become zero, the sign of a zero is not kept in every sum. Arithmetic is
   not inlined in either: a library that is called is what the two are compared as. */
#define TAUT_PRELUDE
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define restrict __restrict
#define INLINE static inline __attribute__((always_inline))
#define CALLED static __attribute__((noinline))
#define SIGN 0x80000000u
#define INFINITE 0x7f800000u
#define HIDDEN 0x00800000u
#define FRACTION 0x007fffffu
#define QUIET 0x00400000u
#define DEFAULT_NAN 0xffc00000u

/* Generic: a number is unpacked to sign, exponent and a significand whose leading one is at bit 62, so that 39
   bits lie below the last that is kept; what falls off at the end sticks to the lowest bit. */
enum taut_class { ZERO, FINITE, INFINITY_, NAN_ };
struct taut_parts {
  enum taut_class is;
  uint32_t sign;
  int exponent;
  uint64_t significand;
};

INLINE struct taut_parts taut_unpack(uint32_t x) {
  const int exponent = x >> 23 & 255;
  const uint32_t fraction = x & FRACTION;
  if (exponent == 255) return {fraction ? NAN_ : INFINITY_, x & SIGN, 0, 0};
  if (exponent) return {FINITE, x & SIGN, exponent - 127, (uint64_t)(fraction | HIDDEN) << 39};
  if (!fraction) return {ZERO, x & SIGN, 0, 0};
  const int zeros = __builtin_clz(fraction) - 8;
  return {FINITE, x & SIGN, -126 - zeros, (uint64_t)fraction << (39 + zeros)};
}

INLINE uint64_t taut_shift_sticky(uint64_t x, int by) {
  if (by == 0) return x;
  return by > 63 ? x != 0 : x >> by | ((x << (64 - by)) != 0);
}

/* Round a positive significand of any size, of which bit 62 stands for 2^exponent. */
INLINE uint32_t taut_pack(uint32_t sign, int exponent, uint64_t significand) {
  const int zeros = __builtin_clzll(significand) - 1;
  significand = zeros < 0 ? taut_shift_sticky(significand, 1) : significand << zeros;
  exponent += 127 - zeros;
  if (exponent >= 255) return sign | INFINITE;
  if (exponent < 1) {
    significand = taut_shift_sticky(significand, 1 - exponent);
    exponent = 0;
  } else {
    exponent--; /* the leading one will be added to it */
  }
  const uint64_t rest = significand & ((1ull << 39) - 1), half = 1ull << 38;
  uint32_t bits = (uint32_t)(significand >> 39);
  bits += rest > half || (rest == half && (bits & 1));
  return sign | (((uint32_t)exponent << 23) + bits);
}

/* The first operand that is not a number, made quiet. */
INLINE uint32_t taut_first_nan(uint32_t a, uint32_t b) { return ((a & ~SIGN) > INFINITE ? a : b) | QUIET; }

INLINE uint32_t taut_add_parts(struct taut_parts a, struct taut_parts b) {
  if (a.exponent < b.exponent) {
    const struct taut_parts swapped = a;
    a = b, b = swapped;
  }
  const uint64_t aligned = taut_shift_sticky(b.significand, a.exponent - b.exponent);
  if (a.sign == b.sign) return taut_pack(a.sign, a.exponent, a.significand + aligned);
  if (a.significand == aligned) return 0;
  if (a.significand > aligned) return taut_pack(a.sign, a.exponent, a.significand - aligned);
  return taut_pack(b.sign, a.exponent, aligned - a.significand);
}

CALLED uint32_t taut_generic_add(uint32_t x, uint32_t y) {
  const struct taut_parts a = taut_unpack(x), b = taut_unpack(y);
  if (a.is == NAN_ || b.is == NAN_) return taut_first_nan(x, y);
  if (a.is == INFINITY_) return b.is == INFINITY_ && a.sign != b.sign ? DEFAULT_NAN : x;
  if (b.is == INFINITY_) return y;
  if (a.is == ZERO) return b.is == ZERO ? x & y : y;
  if (b.is == ZERO) return x;
  return taut_add_parts(a, b);
}

CALLED uint32_t taut_generic_mul(uint32_t x, uint32_t y) {
  const struct taut_parts a = taut_unpack(x), b = taut_unpack(y);
  const uint32_t sign = a.sign ^ b.sign;
  if (a.is == NAN_ || b.is == NAN_) return taut_first_nan(x, y);
  if (a.is == INFINITY_ || b.is == INFINITY_) return a.is == ZERO || b.is == ZERO ? DEFAULT_NAN : sign | INFINITE;
  if (a.is == ZERO || b.is == ZERO) return sign;
  /* 24 bits times 24 bits; 2^62 of the product is 2^(exponents). */
  return taut_pack(sign, a.exponent + b.exponent, (a.significand >> 31) * (b.significand >> 31));
}

CALLED uint32_t taut_generic_div(uint32_t x, uint32_t y) {
  const struct taut_parts a = taut_unpack(x), b = taut_unpack(y);
  const uint32_t sign = a.sign ^ b.sign;
  if (a.is == NAN_ || b.is == NAN_) return taut_first_nan(x, y);
  if (a.is == INFINITY_) return b.is == INFINITY_ ? DEFAULT_NAN : sign | INFINITE;
  if (b.is == INFINITY_) return sign;
  if (b.is == ZERO) return a.is == ZERO ? DEFAULT_NAN : sign | INFINITE;
  if (a.is == ZERO) return sign;
  const uint64_t divisor = b.significand >> 39;
  const uint64_t quotient = a.significand / divisor;
  const uint64_t sticky = a.significand % divisor != 0;
  return taut_pack(sign, a.exponent - b.exponent, quotient << 23 | sticky);
}

/* x y + z, rounded once. */
CALLED uint32_t taut_generic_fma(uint32_t x, uint32_t y, uint32_t z) {
  const struct taut_parts a = taut_unpack(x), b = taut_unpack(y), c = taut_unpack(z);
  const uint32_t sign = a.sign ^ b.sign;
  if (a.is == NAN_ || b.is == NAN_) return taut_first_nan(x, y);
  if (c.is == NAN_) return z | QUIET;
  if (a.is == INFINITY_ || b.is == INFINITY_) {
    if (a.is == ZERO || b.is == ZERO || (c.is == INFINITY_ && c.sign != sign)) return DEFAULT_NAN;
    return sign | INFINITE;
  }
  if (c.is == INFINITY_) return z;
  if (a.is == ZERO || b.is == ZERO) return c.is == ZERO ? sign & c.sign : z;
  struct taut_parts product = {FINITE, sign, a.exponent + b.exponent, (a.significand >> 31) * (b.significand >> 31)};
  if (product.significand >> 63) {
    product.significand >>= 1; /* below the 48 bits that are in use */
    product.exponent++;
  }
  if (c.is == ZERO) return taut_pack(sign, product.exponent, product.significand);
  return taut_add_parts(product, c);
}

CALLED int taut_generic_less(uint32_t x, uint32_t y) {
  if ((x & ~SIGN) > INFINITE || (y & ~SIGN) > INFINITE) return 0;
  if (!((x | y) & ~SIGN)) return 0;
  if ((x ^ y) & SIGN) return x >> 31;
  return x & SIGN ? x > y : x < y;
}

/* Fast: 32-bit words, three bits below the last that is kept, no classes. */
INLINE uint32_t taut_fast_round(uint32_t exponent_and_more, uint32_t significand) {
  const uint32_t bits = exponent_and_more + (significand >> 3), rest = significand & 7;
  return bits + ((rest + (bits & 1)) > 4);
}

/* Too small a result: zero, or the least normal number where what is just below rounds up to it. */
INLINE uint32_t taut_fast_tiny(uint32_t sign, int exponent, uint32_t significand) {
  return exponent == 0 && significand >= 0x7fffff8u ? sign | HIDDEN : sign;
}

CALLED uint32_t taut_fast_add(uint32_t x, uint32_t y) {
  if ((x & ~SIGN) < (y & ~SIGN)) {
    const uint32_t swapped = x;
    x = y, y = swapped;
  }
  const int shift = (x >> 23 & 255) - (y >> 23 & 255);
  if (shift > 25 || !(y & ~SIGN)) return x;
  const uint32_t larger = (x & FRACTION | HIDDEN) << 3;
  uint32_t smaller = (y & FRACTION | HIDDEN) << 3;
  if (shift) smaller = smaller >> shift | ((smaller << (32 - shift)) != 0);
  /* Less the leading one, which is added to the exponent. */
  const uint32_t head = (x & (SIGN | INFINITE)) - HIDDEN;
  if (!((x ^ y) & SIGN)) {
    const uint32_t sum = larger + smaller;
    return sum >> 27 ? taut_fast_round(head + HIDDEN, sum >> 1 | (sum & 1)) : taut_fast_round(head, sum);
  }
  const uint32_t difference = larger - smaller;
  if (!difference) return 0;
  const int zeros = __builtin_clz(difference) - 5;
  if (zeros >= (int)(x >> 23 & 255)) return 0;
  return taut_fast_round(head - ((uint32_t)zeros << 23), difference << zeros);
}

CALLED uint32_t taut_fast_mul(uint32_t x, uint32_t y) {
  if (!(x & ~SIGN) || !(y & ~SIGN)) return (x ^ y) & SIGN;
  const uint32_t sign = (x ^ y) & SIGN;
  /* 26 or 27 bits above those that only stick. */
  const uint64_t product = (uint64_t)((x & FRACTION | HIDDEN) << 8) * ((y & FRACTION | HIDDEN) << 4);
  uint32_t high = (uint32_t)(product >> 32) | ((uint32_t)product != 0);
  int exponent = (int)(x >> 23 & 255) + (int)(y >> 23 & 255) - 127;
  if (high >> 27) high = high >> 1 | (high & 1), exponent++;
  if (exponent < 1) return taut_fast_tiny(sign, exponent, high);
  return taut_fast_round(sign + ((uint32_t)(exponent - 1) << 23), high);
}

CALLED uint32_t taut_fast_div(uint32_t x, uint32_t y) {
  const uint32_t sign = (x ^ y) & SIGN;
  if (!(x & ~SIGN)) return sign;
  const uint32_t a = x & FRACTION | HIDDEN, b = y & FRACTION | HIDDEN;
  const int is_less = a < b;
  const uint64_t dividend = (uint64_t)a << (26 + is_less);
  const uint32_t quotient = (uint32_t)(dividend / b);
  const int exponent = (int)(x >> 23 & 255) - (int)(y >> 23 & 255) + 127 - is_less;
  const uint32_t rounded = quotient | (dividend % b != 0);
  if (exponent < 1) return taut_fast_tiny(sign, exponent, rounded);
  return taut_fast_round(sign + ((uint32_t)(exponent - 1) << 23), rounded);
}

CALLED uint32_t taut_fast_fma(uint32_t x, uint32_t y, uint32_t z) {
  if (!(x & ~SIGN) || !(y & ~SIGN)) return z & ~SIGN ? z : 0;
  uint32_t sign = (x ^ y) & SIGN;
  /* The product is exact, its leading one at bit 62; z is brought to the same place. */
  uint64_t product = (uint64_t)(x & FRACTION | HIDDEN) * (y & FRACTION | HIDDEN) << 15;
  int exponent = (int)(x >> 23 & 255) + (int)(y >> 23 & 255) - 126;
  if (!(product >> 62)) product <<= 1, exponent--;
  if (z & ~SIGN) {
    uint64_t other = (uint64_t)(z & FRACTION | HIDDEN) << 39;
    const int shift = exponent - (int)(z >> 23 & 255);
    if (shift < 0) {
      product = taut_shift_sticky(product, -shift);
      exponent -= shift;
    } else {
      other = taut_shift_sticky(other, shift);
    }
    if (!((sign ^ z) & SIGN)) {
      product += other;
    } else if (product < other) {
      product = other - product;
      sign ^= SIGN;
    } else {
      product -= other;
    }
    if (!product) return 0;
  }
  const int zeros = __builtin_clzll(product) - 1;
  product = zeros < 0 ? product >> 1 | (product & 1) : product << zeros;
  exponent -= zeros;
  const uint32_t high = (uint32_t)(product >> 36) | ((product & ((1ull << 36) - 1)) != 0);
  if (exponent < 1) return taut_fast_tiny(sign, exponent, high);
  return taut_fast_round(sign + ((uint32_t)(exponent - 1) << 23), high);
}

/* Shorter than a call. */
INLINE int taut_fast_less(uint32_t x, uint32_t y) {
  const int32_t a = (int32_t)x < 0 ? -(int32_t)(x & ~SIGN) : (int32_t)x;
  const int32_t b = (int32_t)y < 0 ? -(int32_t)(y & ~SIGN) : (int32_t)y;
  return a < b;
}

#ifdef TAUT_SOFT_FAST
#define SOFT(operation) taut_fast_##operation
#else
#define SOFT(operation) taut_generic_##operation
#endif

/* What the kernels call float. */
struct taut_soft {
  uint32_t bits;
  taut_soft() = default;
  taut_soft(float x) { memcpy(&bits, &x, 4); } /* of literals, at compile time */
  taut_soft(int x) {
    const uint32_t size = x < 0 ? -(uint32_t)x : (uint32_t)x;
    bits = size ? taut_pack(x < 0 ? SIGN : 0, 31, (uint64_t)size << 31) : 0;
  }
};
INLINE taut_soft taut_of(uint32_t bits) {
  taut_soft x;
  x.bits = bits;
  return x;
}
INLINE taut_soft operator-(taut_soft a) { return taut_of(a.bits ^ SIGN); }
INLINE taut_soft operator+(taut_soft a, taut_soft b) { return taut_of(SOFT(add)(a.bits, b.bits)); }
INLINE taut_soft operator-(taut_soft a, taut_soft b) { return a + -b; }
INLINE taut_soft operator*(taut_soft a, taut_soft b) { return taut_of(SOFT(mul)(a.bits, b.bits)); }
INLINE taut_soft operator/(taut_soft a, taut_soft b) { return taut_of(SOFT(div)(a.bits, b.bits)); }
INLINE taut_soft &operator+=(taut_soft &a, taut_soft b) { return a = a + b; }
INLINE int operator<(taut_soft a, taut_soft b) { return SOFT(less)(a.bits, b.bits); }
INLINE int operator>(taut_soft a, taut_soft b) { return b < a; }

#define float taut_soft
typedef float vf;
#define TAUT_KEEP(v) ((void)0) /* there are no vector registers to hold it in */
INLINE vf taut_splat(float x) { return x; }
INLINE vf taut_load(const float *x) { return *x; }
INLINE vf taut_load_part(const float *x, int) { return *x; }
INLINE vf taut_gather(const float *x, long, int) { return *x; }
INLINE void taut_store(float *x, vf v) { *x = v; }
INLINE void taut_store_part(float *x, vf v, int) { *x = v; }
INLINE void taut_scatter(float *x, vf v, long, int) { *x = v; }
INLINE vf taut_first(vf v, vf rest, int n) { return n ? v : rest; }
INLINE float taut_sum_lanes(vf v) { return v; }
INLINE float taut_max_lanes(vf v) { return v; }
#define taut_max(a, b) ((a) > (b) ? (a) : (b))
#define taut_min(a, b) ((a) < (b) ? (a) : (b))
