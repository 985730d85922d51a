package hotswap;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;

/**
 * Reads protobuf's wire format, strictly: it raises Odd for what is cut off, and for a varint that is not of the shortest
 * form, since of others not all of protobuf's libraries say the same.
 */
final class Wire {
  /** Something is not where, or as, it is expected. */
  static final class Odd extends RuntimeException {
    private static final long serialVersionUID = 1;

    private Odd() {
      super(null, null, false, false);
    }
  }

  private static final Odd ODD = new Odd();
  private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private final CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder(); // it reports what is malformed

  byte[] bytes;
  int at; // the byte that comes next
  int stop; // the end of the message

  void read(byte[] bytes, int begin, int length) {
    this.bytes = bytes;
    this.at = begin;
    this.stop = begin + length;
  }

  boolean hasMore() {
    return at < stop;
  }

  long varint() {
    long value = 0;
    for (int shift = 0; at < stop; shift += 7) {
      byte one = bytes[at++];
      value |= (long) (one & 0x7F) << shift;
      if (one >= 0) {
        if (one == 0 && shift > 0 || shift == 63 && one > 1) {
          throw ODD;
        }
        return value;
      } else if (shift == 63) {
        throw ODD;
      }
    }
    throw ODD;
  }

  int fixed32() {
    return (int) INTS.get(bytes, skip(Integer.BYTES));
  }

  long fixed64() {
    return (long) LONGS.get(bytes, skip(Long.BYTES));
  }

  /** The length of what comes, which is all there. */
  int length() {
    long length = varint();
    if (length < 0 || length > stop - at) {
      throw ODD;
    }
    return (int) length;
  }

  /** Skips so many bytes; where they begin. */
  int skip(int length) {
    if (length > stop - at) {
      throw ODD;
    }
    int begin = at;
    at += length;
    return begin;
  }

  /** Skips a string, whose bytes must be UTF-8. */
  void skipString() {
    int length = length();
    int begin = skip(length);
    for (int i = begin; i < at; i++) {
      if (bytes[i] < 0) {
        try {
          utf8.decode(ByteBuffer.wrap(bytes, i, at - i));
        } catch (CharacterCodingException error) {
          throw ODD;
        }
        return;
      }
    }
  }

  /** What is of another form than expected. */
  static Odd odd() {
    return ODD;
  }
}
