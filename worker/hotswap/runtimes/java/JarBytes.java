package hotswap;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/** Bytes that grow, and protobuf's wire format written behind them. */
final class JarBytes {
  private static final int MAX_VARINT = 10;
  private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private byte[] bytes = new byte[1 << 10];
  private int end;

  byte[] bytes() {
    return bytes;
  }

  int end() {
    return end;
  }

  /** Forgets what is behind `end`. */
  void cut(int end) {
    this.end = end;
  }

  /** Whether all bytes from here on are 0: as the value of a field, it is the default one. */
  boolean isZeroFrom(int begin) {
    for (int at = begin; at < end; at++) {
      if (bytes[at] != 0) {
        return false;
      }
    }
    return true;
  }

  void varint(long value) {
    room(MAX_VARINT);
    for (; (value & ~0x7FL) != 0; value >>>= 7) {
      bytes[end++] = (byte) (value & 0x7F | 0x80);
    }
    bytes[end++] = (byte) value;
  }

  void fixed32(int value) {
    room(Integer.BYTES);
    INTS.set(bytes, end, value);
    end += Integer.BYTES;
  }

  void fixed64(long value) {
    room(Long.BYTES);
    LONGS.set(bytes, end, value);
    end += Long.BYTES;
  }

  void raw(byte[] given, int length) {
    room(length);
    System.arraycopy(given, 0, bytes, end, length);
    end += length;
  }

  /** Writes the length and the bytes. */
  void sized(byte[] given, int length) {
    varint(length);
    raw(given, length);
  }

  private void room(int more) {
    if (bytes.length - end < more) {
      bytes = Arrays.copyOf(bytes, 2 * (end + more));
    }
  }
}
