package hotswap.flat;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Reads Kafka's record batches (format v2, KIP-98) as a broker returns them, uncompressed, record by record. It is strict:
 * it throws Declined for anything malformed, and for anything that aiokafka's parser might read otherwise.
 *
 * <p>After `next`, the fields describe a record: its offset, and the places in `bytes` of the record, its key, value and
 * headers. A length of -1 is null.
 */
final class RecordReader {
  static final int HEAD = 61, LENGTH_AT = 8, MAGIC_AT = 16, ATTRIBUTES_AT = 21, LAST_DELTA_AT = 23, COUNT_AT = 57;
  static final VarHandle SHORTS = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.BIG_ENDIAN);
  static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.BIG_ENDIAN);
  static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);

  private static final int OVERHEAD = 12, MAGIC = 2, CODEC = 0x07, CONTROL = 0x20;

  byte[] bytes;
  int begin, end;
  long offset;
  int key, keyLength, value, valueLength;
  int headers, headersLength, headerCount; // `headers` is behind the count

  private final byte[][] readNames, singleNames;
  private boolean hasPlainHeaders;
  private int at;
  private int stop;
  private int batchEnd;
  private long base;
  private int count;
  private int done;

  /**
   * @param readNames headers that decide how a request is answered, or that are not copied
   * @param singleNames headers that are copied, unless a request has two of one
   */
  RecordReader(byte[][] readNames, byte[][] singleNames) {
    this.readNames = readNames;
    this.singleNames = singleNames;
  }

  /** Starts to read record batches: `bytes` from `begin` to `end`. */
  void open(byte[] bytes, int begin, int end) {
    this.bytes = bytes;
    this.at = begin;
    this.stop = end;
    this.batchEnd = begin;
    this.count = 0;
    this.done = 0;
  }

  /** Moves to the next record; false if there is none. */
  boolean next() {
    while (done == count) {
      check(at == batchEnd);
      if (at == stop) {
        return false;
      }
      open();
    }
    begin = at;
    int length = varint();
    check(length > 0 && length <= batchEnd - at);
    end = at + length;
    at++; // its attributes, of which there are none
    varlong(); // its timestamp
    check(varint() == done);
    offset = base + done++;
    keyLength = varint();
    key = skip(keyLength);
    valueLength = varint();
    value = skip(valueLength);
    headerCount = varint();
    headers = at;
    hasPlainHeaders = true;
    if (headerCount != 0) {
      readHeaders();
    }
    headersLength = at - headers;
    check(at == end);
    return true;
  }

  /** Whether all headers are copied as they are, and none decides how to answer. */
  boolean hasPlainHeaders() {
    return hasPlainHeaders;
  }

  private void open() {
    check(stop - at >= HEAD);
    int length = (int) INTS.get(bytes, at + LENGTH_AT);
    int attributes = (short) SHORTS.get(bytes, at + ATTRIBUTES_AT);
    check(length >= HEAD - OVERHEAD && length <= stop - at - OVERHEAD);
    check(bytes[at + MAGIC_AT] == MAGIC && (attributes & (CODEC | CONTROL)) == 0);
    base = (long) LONGS.get(bytes, at);
    count = (int) INTS.get(bytes, at + COUNT_AT);
    check(count > 0 && (int) INTS.get(bytes, at + LAST_DELTA_AT) == count - 1);
    done = 0;
    batchEnd = at + OVERHEAD + length;
    at += HEAD;
  }

  private void readHeaders() {
    check(headerCount > 0 && headerCount <= end - at);
    long seen = 0; // a bit for each of the single names
    for (int i = 0; i < headerCount; i++) {
      int length = varint();
      check(length >= 0);
      int name = skip(length);
      hasPlainHeaders &= isCopied(name, length);
      int single = find(singleNames, name, length);
      if (single >= 0) {
        hasPlainHeaders &= (seen & 1L << single) == 0;
        seen |= 1L << single;
      }
      int size = varint();
      hasPlainHeaders &= size >= 0; // a null is for the fallback
      skip(size);
    }
  }

  private boolean isCopied(int name, int length) {
    for (int i = name; i < name + length; i++) {
      if (bytes[i] < 0) {
        return false; // not ASCII: perhaps not UTF-8
      }
    }
    return find(readNames, name, length) < 0;
  }

  private int find(byte[][] names, int name, int length) {
    for (int i = 0; i < names.length; i++) {
      if (names[i].length == length && Arrays.equals(names[i], 0, length, bytes, name, name + length)) {
        return i;
      }
    }
    return -1;
  }

  private int skip(int length) {
    check(length >= -1 && length <= end - at);
    int begin = at;
    at += Math.max(length, 0);
    return begin;
  }

  private int varint() {
    long value = varlong();
    check(value == (int) value);
    return (int) value;
  }

  private long varlong() {
    int end = Math.min(batchEnd, at + 9); // those of ten bytes are for the fallback
    long raw = 0;
    for (int shift = 0; at < end; shift += 7) {
      byte one = bytes[at++];
      raw |= (long) (one & 0x7F) << shift;
      if (one >= 0) {
        return raw >>> 1 ^ -(raw & 1);
      }
    }
    throw new Declined();
  }

  private static void check(boolean isSo) {
    if (!isSo) {
      throw new Declined();
    }
  }
}
