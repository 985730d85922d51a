package hotswap.flat;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Reads protobuf's wire format, strictly: throws Declined for a message that is cut off, and for a varint that is longer
 * than needed, which protobuf's libraries do not all read alike.
 */
public final class WireReader {
  private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle FLOATS = MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle DOUBLES = MethodHandles.byteArrayViewVarHandle(double[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private final CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder(); // throws for malformed bytes

  byte[] bytes;
  private int at; // the next byte
  private int stop; // the end of the message

  void open(byte[] bytes, int begin, int length) {
    this.bytes = bytes;
    this.at = begin;
    this.stop = begin + length;
  }

  /** Reads the length of a message within the message, and stops at its end; returns where the outer one ends. */
  public int enter() {
    int outer = stop;
    int length = length();
    stop = at + length;
    return outer;
  }

  public void leave(int outer) {
    stop = outer;
  }

  public boolean hasMore() {
    return at < stop;
  }

  public long varint() {
    long value = 0;
    for (int shift = 0; at < stop; shift += 7) {
      byte one = bytes[at++];
      value |= (long) (one & 0x7F) << shift;
      if (one >= 0) {
        if (one == 0 && shift > 0 || shift == 63 && one > 1) {
          throw new Declined();
        }
        return value;
      } else if (shift == 63) {
        throw new Declined();
      }
    }
    throw new Declined();
  }

  public int fixed32() {
    return (int) INTS.get(bytes, skip(Integer.BYTES));
  }

  public long fixed64() {
    return (long) LONGS.get(bytes, skip(Long.BYTES));
  }

  /** Reads floats into `values`, from `from` to `until`, with one check of the message's length for all of them. */
  void floats(double[] values, int from, int until) {
    int place = skip(Float.BYTES * (until - from));
    for (int i = from; i < until; i++, place += Float.BYTES) {
      values[i] = (float) FLOATS.get(bytes, place);
    }
  }

  /** Reads doubles, as `floats` does. */
  void doubles(double[] values, int from, int until) {
    int place = skip(Double.BYTES * (until - from));
    for (int i = from; i < until; i++, place += Double.BYTES) {
      values[i] = (double) DOUBLES.get(bytes, place);
    }
  }

  /** Reads a whole number. Throws Declined if protobuf's libraries could read another one, or a long cannot hold it. */
  public long whole(int type) {
    switch (type) {
      case FieldType.FIXED32:
        return fixed32() & 0xFFFFFFFFL;
      case FieldType.SFIXED32:
        return fixed32();
      case FieldType.SFIXED64:
        return fixed64();
      case FieldType.FIXED64:
        return signed(fixed64());
      default:
    }
    long raw = varint();
    switch (type) {
      case FieldType.BOOL:
        return raw == 0 ? 0 : 1;
      case FieldType.INT32:
      case FieldType.ENUM:
        return (int) raw;
      case FieldType.UINT32:
        return raw & 0xFFFFFFFFL;
      case FieldType.SINT32:
        return (int) raw >>> 1 ^ -((int) raw & 1);
      case FieldType.SINT64:
        return raw >>> 1 ^ -(raw & 1);
      case FieldType.UINT64:
        return signed(raw);
      default:
        return raw;
    }
  }

  private static long signed(long raw) {
    if (raw < 0) {
      throw new Declined();
    }
    return raw;
  }

  /** Reads the length of a value that is complete. */
  int length() {
    long length = varint();
    if (length < 0 || length > stop - at) {
      throw new Declined();
    }
    return (int) length;
  }

  /** Skips `length` bytes; returns the offset of the first one. */
  int skip(int length) {
    if (length > stop - at) {
      throw new Declined();
    }
    int begin = at;
    at += length;
    return begin;
  }

  /** Skips a string, which must be UTF-8. */
  void skipString() {
    int length = length();
    int begin = skip(length);
    if (!isAscii(begin)) {
      decoded(begin, length);
    }
  }

  public String string() {
    int length = length();
    int begin = skip(length);
    return isAscii(begin) ? new String(bytes, begin, length, StandardCharsets.ISO_8859_1) : decoded(begin, length);
  }

  public byte[] octets() {
    int length = length();
    int begin = skip(length);
    return Arrays.copyOfRange(bytes, begin, begin + length);
  }

  private boolean isAscii(int begin) {
    for (int i = begin; i < at; i++) {
      if (bytes[i] < 0) {
        return false;
      }
    }
    return true;
  }

  private String decoded(int begin, int length) {
    try {
      return utf8.decode(ByteBuffer.wrap(bytes, begin, length)).toString();
    } catch (CharacterCodingException error) {
      throw new Declined();
    }
  }
}
