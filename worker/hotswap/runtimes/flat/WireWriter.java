package hotswap.flat;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/** Writes protobuf's wire format to a growing array. */
public final class WireWriter {
  private static final int MAX_VARINT = 10;
  private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private byte[] bytes = new byte[1 << 10];
  private int end;

  public byte[] bytes() {
    return bytes;
  }

  public int end() {
    return end;
  }

  /** Truncates to `end` bytes. */
  public void truncate(int end) {
    this.end = end;
  }

  /** Whether all bytes from `begin` on are 0: as the value of a field, its default. */
  public boolean isZeroFrom(int begin) {
    for (int at = begin; at < end; at++) {
      if (bytes[at] != 0) {
        return false;
      }
    }
    return true;
  }

  public void varint(long value) {
    room(MAX_VARINT);
    for (; (value & ~0x7FL) != 0; value >>>= 7) {
      bytes[end++] = (byte) (value & 0x7F | 0x80);
    }
    bytes[end++] = (byte) value;
  }

  public void fixed32(int value) {
    room(Integer.BYTES);
    INTS.set(bytes, end, value);
    end += Integer.BYTES;
  }

  public void fixed64(long value) {
    room(Long.BYTES);
    LONGS.set(bytes, end, value);
    end += Long.BYTES;
  }

  public void raw(byte[] source, int length) {
    room(length);
    System.arraycopy(source, 0, bytes, end, length);
    end += length;
  }

  /** Writes the length and the bytes. */
  public void sized(byte[] source, int length) {
    varint(length);
    raw(source, length);
  }

  private void room(int more) {
    if (bytes.length - end < more) {
      bytes = Arrays.copyOf(bytes, 2 * (end + more));
    }
  }
}
