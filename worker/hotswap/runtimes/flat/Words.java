package hotswap.flat;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;

/** A column's categories by their UTF-8 bytes, so that reading a row creates no String. */
final class Words {
  private final byte[][] words;
  private final double[] numbers;
  private final int mask;

  Words(Map<Object, Double> numbers) {
    int size = 4 * Integer.highestOneBit(Math.max(1, numbers.size())); // a quarter to half full
    this.words = new byte[size][];
    this.numbers = new double[size];
    this.mask = size - 1;
    numbers.forEach((word, number) -> add(((String) word).getBytes(StandardCharsets.UTF_8), number));
  }

  private void add(byte[] word, double number) {
    int at = hash(word, 0, word.length) & mask;
    while (words[at] != null) {
      at = at + 1 & mask;
    }
    words[at] = word;
    numbers[at] = number;
  }

  /** The number of the word in `bytes`, or `unknown`. */
  double number(byte[] bytes, int begin, int length, double unknown) {
    int at = hash(bytes, begin, length) & mask;
    for (byte[] word; (word = words[at]) != null; at = at + 1 & mask) {
      if (Arrays.equals(word, 0, word.length, bytes, begin, begin + length)) {
        return numbers[at];
      }
    }
    return unknown;
  }

  private static int hash(byte[] bytes, int begin, int length) {
    int hash = length;
    for (int at = begin; at < begin + length; at++) {
      hash = 31 * hash + bytes[at];
    }
    return hash ^ hash >>> 15;
  }
}
