// Coefficients of ExpNonPositive, shared by all levels: e^x = 2^n e^r, n = round(x / ln 2), |r| <=
// ln 2 / 2, and a polynomial of degree 6 in r (S. Moshier, Cephes expf).
#pragma once

namespace tamis::simd {

inline constexpr float kExpLowest = -87.33654f;  // smallest x with a normal result
inline constexpr float kExpLog2e = 1.44269504088896341f;
inline constexpr float kExpLn2High = 0.693359375f;  // 9 bits, so that n * kExpLn2High is exact
inline constexpr float kExpLn2Low = -2.12194440e-4f;
inline constexpr float kExpC2 = 5.0000001201e-1f;
inline constexpr float kExpC3 = 1.6666665459e-1f;
inline constexpr float kExpC4 = 4.1665795894e-2f;
inline constexpr float kExpC5 = 8.3334519073e-3f;
inline constexpr float kExpC6 = 1.3981999507e-3f;
inline constexpr float kExpC7 = 1.9875691500e-4f;

}  // namespace tamis::simd
