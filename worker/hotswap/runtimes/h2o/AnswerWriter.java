package hotswap;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/** Encodes the answers to requests, one behind the other, from the scores of their rows. */
public final class AnswerWriter {
  /** What a part of an answer is. */
  private static final int LABEL = 0, NUMBER = 1, NUMBERS = 2;

  private static final int NONE = -1;
  private static final int MAX_VARINT = 5;
  private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  /**
   * The parts of an answer in the order of their fields: a LABEL is a whole field for each class (behind a tag: an element
   * of a packed field), a NUMBER or NUMBERS the scores from `starts` to `stops`, as floats or doubles behind the tag. A
   * zero may be left out as proto3 has it.
   */
  public record Parts(
      int[] kinds, int[] starts, int[] stops, boolean[] areFloats, boolean[] leaveZerosOut, byte[][] tags,
      byte[][][] labels) {}

  private final int width;
  private final Parts parts;
  private final byte[] rowTag;
  private final boolean isByRow;

  private double[] table = new double[0];
  private byte[] out = new byte[1 << 16];
  private int end;

  /**
   * @param width how many scores a row has
   * @param rowTag the tag of the repeated field that holds an answer's rows; empty: the answer has the fields itself
   * @param isByRow whether each row is answered by a message; else the answer's fields are repeated
   */
  public AnswerWriter(int width, Parts parts, byte[] rowTag, boolean isByRow) {
    this.width = width;
    this.parts = parts;
    this.rowTag = rowTag;
    this.isByRow = isByRow;
  }

  int width() {
    return width;
  }

  /** The answers so far, which end at `end`. */
  byte[] bytes() {
    return out;
  }

  int end() {
    return end;
  }

  /** Forgets the answers behind `end`. */
  void cut(int end) {
    this.end = end;
  }

  /** Writes the answer to the request with these rows of `scores`; its length, or FlatRows.LEFT: a row has no class. */
  int write(double[] scores, int first, int last) {
    int before = end;
    table = scores;
    if (isByRow ? writeRows(first, last) : writeColumns(first, last)) {
      return end - before;
    }
    end = before;
    return FlatRows.LEFT;
  }

  private boolean writeRows(int first, int last) {
    for (int row = first; row < last; row++) {
      int size = size(row);
      if (size == NONE) {
        return false;
      }
      if (rowTag.length > 0) {
        write(rowTag);
        writeVarint(size);
      }
      for (int part = 0; part < parts.kinds.length; part++) {
        int scores = row * width;
        if (parts.kinds[part] == LABEL) {
          write(label(part, row));
        } else if (!isLeftOut(part, scores)) {
          write(parts.tags[part]);
          if (parts.kinds[part] == NUMBERS) {
            writeVarint(bytes(part));
          }
          writeNumbers(part, scores);
        }
      }
    }
    return true;
  }

  /** How long the message of a row is; NONE where it has no class. */
  private int size(int row) {
    int size = 0;
    int scores = row * width;
    for (int part = 0; part < parts.kinds.length; part++) {
      if (parts.kinds[part] == LABEL) {
        double number = table[scores + parts.starts[part]];
        if (!(number >= 0 && number < parts.labels[part].length)) {
          return NONE;
        }
        size += parts.labels[part][(int) number].length;
      } else if (!isLeftOut(part, scores)) {
        int bytes = bytes(part);
        size += parts.tags[part].length + bytes;
        size += parts.kinds[part] == NUMBERS ? varintSize(bytes) : 0;
      }
    }
    return size;
  }

  private boolean writeColumns(int first, int last) {
    for (int row = first; row < last; row++) {
      if (size(row) == NONE) {
        return false;
      }
    }
    for (int part = 0; first < last && part < parts.kinds.length; part++) {
      if (parts.kinds[part] == LABEL) {
        writeLabels(part, first, last);
      } else {
        write(parts.tags[part]);
        writeVarint((last - first) * bytes(part));
        for (int row = first; row < last; row++) {
          writeNumbers(part, row * width);
        }
      }
    }
    return true;
  }

  private void writeLabels(int part, int first, int last) {
    if (parts.tags[part].length > 0) {
      int size = 0;
      for (int row = first; row < last; row++) {
        size += label(part, row).length;
      }
      write(parts.tags[part]);
      writeVarint(size);
    }
    for (int row = first; row < last; row++) {
      write(label(part, row));
    }
  }

  private byte[] label(int part, int row) {
    return parts.labels[part][(int) table[row * width + parts.starts[part]]];
  }

  private boolean isLeftOut(int part, int scores) {
    if (!parts.leaveZerosOut[part]) {
      return false;
    }
    double number = table[scores + parts.starts[part]];
    return (parts.areFloats[part] ? Float.floatToRawIntBits((float) number) : Double.doubleToRawLongBits(number)) == 0;
  }

  private int bytes(int part) {
    return (parts.stops[part] - parts.starts[part]) * (parts.areFloats[part] ? Float.BYTES : Double.BYTES);
  }

  private void writeNumbers(int part, int scores) {
    for (int at = parts.starts[part]; at < parts.stops[part]; at++) {
      double number = table[scores + at];
      if (parts.areFloats[part]) {
        room(Float.BYTES);
        INTS.set(out, end, Float.floatToRawIntBits((float) number));
        end += Float.BYTES;
      } else {
        room(Double.BYTES);
        LONGS.set(out, end, Double.doubleToRawLongBits(number));
        end += Double.BYTES;
      }
    }
  }

  private static int varintSize(int value) {
    return (Integer.SIZE - Integer.numberOfLeadingZeros(value | 1) + 6) / 7;
  }

  private void writeVarint(int value) {
    room(MAX_VARINT);
    for (; (value & ~0x7F) != 0; value >>>= 7) {
      out[end++] = (byte) (value & 0x7F | 0x80);
    }
    out[end++] = (byte) value;
  }

  private void write(byte[] bytes) {
    room(bytes.length);
    System.arraycopy(bytes, 0, out, end, bytes.length);
    end += bytes.length;
  }

  private void room(int bytes) {
    if (out.length - end < bytes) {
      out = Arrays.copyOf(out, 2 * (end + bytes));
    }
  }
}
