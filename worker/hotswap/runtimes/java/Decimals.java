package hotswap.java;

import hotswap.flat.Declined;
import java.math.BigInteger;

/**
 * Writes a double as Python's repr(): the shortest digits that parse to it, and the nearest of those.
 *
 * <p>Java's own Double.toString writes more digits before Java 19. The algorithm is Schubfach (R. Giulietti,
 * "The Schubfach way to render doubles", 2020); numbers in brackets refer to its sections.
 */
final class Decimals {
  private static final int FRACTION_BITS = 52;
  private static final long HIDDEN_BIT = 1L << FRACTION_BITS;
  private static final int MIN_EXPONENT = -1074;
  private static final int LEAST_POWER = -324, MOST_POWER = 292;
  private static final long MASK = (1L << 63) - 1;
  private static final int FIRST_FIXED = -4, LAST_FIXED = 16; // Python writes 0.0001, but 1e-05 and 1e+16

  /** By k - LEAST_POWER: floor(10^-k * 2^r) + 1, where it has 126 bits, in halves of 63 [9.8.2]. */
  private static final long[][] POWERS = new long[MOST_POWER - LEAST_POWER + 1][];

  private Decimals() {}

  /** Throws Declined for a subnormal number: it may have shorter digits. */
  static String text(double value) {
    if (value != value) {
      return "nan";
    }
    String sign = Double.doubleToRawLongBits(value) < 0 ? "-" : "";
    if (Double.isInfinite(value)) {
      return sign + "inf";
    } else if (value == 0) {
      return sign + "0.0";
    }
    long bits = Double.doubleToRawLongBits(value);
    int exponent = (int) (bits >>> FRACTION_BITS) & 0x7FF;
    if (exponent == 0) {
      throw new Declined();
    }
    return digits(sign, exponent - 1 + MIN_EXPONENT, bits & HIDDEN_BIT - 1 | HIDDEN_BIT);
  }

  /** The decimal that is c * 2^q. */
  private static String digits(String sign, int q, long c) {
    long odd = c & 1;
    boolean isEven = c != HIDDEN_BIT || q == MIN_EXPONENT; // its neighbours are equally far
    // floor(log10(2^q)), or floor(log10(3/4 * 2^q)); then floor(log2(10^-k)) [9.6]
    int k = (int) ((isEven ? q * 661_971_961_083L : q * 661_971_961_083L - 274_743_187_321L) >> 41);
    int h = q + (int) (-k * 913_124_641_741L >> 38) + 2;
    long[] power = power(k);
    long middle = times(power, c << 2 << h);
    long lower = times(power, (c << 2) - (isEven ? 2 : 1) << h) + odd;
    long upper = times(power, (c << 2) + 2 << h) - odd;
    long s = middle >> 2;
    long shorter = s / 10 * 10;
    boolean isDown = lower <= shorter << 2;
    boolean isUp = shorter + 10 << 2 <= upper;
    if (isDown != isUp) {
      return written(sign, isDown ? shorter : shorter + 10, k);
    }
    isDown = lower <= s << 2;
    isUp = s + 1 << 2 <= upper;
    if (isDown != isUp) {
      return written(sign, isDown ? s : s + 1, k);
    }
    long above = middle - (s + s + 1 << 1);
    return written(sign, above < 0 || above == 0 && (s & 1) == 0 ? s : s + 1, k);
  }

  /** The product, scaled down, its last bit set if anything is lost [9.9]. */
  private static long times(long[] power, long factor) {
    long low = Math.multiplyHigh(power[1], factor);
    long z = (power[0] * factor >>> 1) + low;
    long w = Math.multiplyHigh(power[0], factor) + (z >>> 63);
    return w | (z & MASK) + MASK >>> 63;
  }

  private static long[] power(int k) {
    long[] found = POWERS[k - LEAST_POWER];
    if (found == null) {
      BigInteger ten = BigInteger.TEN.pow(Math.abs(k));
      int shift = 126 - 1 - (int) (-k * 913_124_641_741L >> 38); // 126 bits
      BigInteger scaled = k <= 0
          ? shift >= 0 ? ten.shiftLeft(shift) : ten.shiftRight(-shift)
          : BigInteger.ONE.shiftLeft(shift).divide(ten);
      scaled = scaled.add(BigInteger.ONE);
      found = new long[] {scaled.shiftRight(63).longValue(), scaled.longValue() & MASK};
      POWERS[k - LEAST_POWER] = found;
    }
    return found;
  }

  /** The text of digits * 10^k. */
  private static String written(String sign, long digits, int k) {
    while (digits % 10 == 0) {
      digits /= 10;
      k++;
    }
    String all = Long.toString(digits);
    int point = all.length() + k; // how many digits are before it
    StringBuilder text = new StringBuilder(sign);
    if (FIRST_FIXED < point && point <= LAST_FIXED) {
      if (point <= 0) {
        return text.append("0.").append("0".repeat(-point)).append(all).toString();
      } else if (point >= all.length()) {
        return text.append(all).append("0".repeat(point - all.length())).append(".0").toString();
      }
      return text.append(all, 0, point).append('.').append(all, point, all.length()).toString();
    }
    text.append(all.charAt(0));
    if (all.length() > 1) {
      text.append('.').append(all, 1, all.length());
    }
    int exponent = point - 1;
    text.append('e').append(exponent < 0 ? '-' : '+').append(Math.abs(exponent) < 10 ? "0" : "");
    return text.append(Math.abs(exponent)).toString();
  }
}
