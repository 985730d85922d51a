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

  /** What a field holds, by protobuf's own numbers (descriptor.proto, FieldDescriptorProto.Type). */
  static final int DOUBLE = 1, FLOAT = 2, INT64 = 3, UINT64 = 4, INT32 = 5, FIXED64 = 6, FIXED32 = 7, BOOL = 8, STRING = 9,
      BYTES = 12, UINT32 = 13, ENUM = 14, SFIXED32 = 15, SFIXED64 = 16, SINT32 = 17, SINT64 = 18;

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

  /** A whole number of a type. Raises where protobuf's libraries could read another one, or a long cannot hold it. */
  long whole(int type) {
    switch (type) {
      case FIXED32:
        return fixed32() & 0xFFFFFFFFL;
      case SFIXED32:
        return fixed32();
      case SFIXED64:
        return fixed64();
      case FIXED64:
        return signed(fixed64());
      default:
    }
    long raw = varint();
    switch (type) {
      case BOOL:
        return raw == 0 ? 0 : 1;
      case INT32:
      case ENUM:
        return (int) raw;
      case UINT32:
        return raw & 0xFFFFFFFFL;
      case SINT32:
        return (int) raw >>> 1 ^ -((int) raw & 1);
      case SINT64:
        return raw >>> 1 ^ -(raw & 1);
      case UINT64:
        return signed(raw);
      default:
        return raw;
    }
  }

  private static long signed(long raw) {
    if (raw < 0) {
      throw ODD;
    }
    return raw;
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
