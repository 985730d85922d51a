package hotswap.flat;

import java.util.Arrays;

/** Encodes the answer to a request from the scores of its rows. */
public final class AnswerWriter {
  /** The kinds of parts. */
  private static final int LABEL = 0, NUMBER = 1, NUMBERS = 2, WHOLE = 3;

  private static final int NO_ANSWER = -1;

  /**
   * The parts of an answer in the order of their fields.
   *
   * @param kinds LABEL: a serialized field for each class (behind a tag, an element of a packed field); NUMBER or NUMBERS:
   *     scores behind a tag; WHOLE: a score as a varint behind a tag
   * @param starts the first score of each part
   * @param stops the score after its last
   * @param least the least whole number that a field can hold, and `most` the greatest
   * @param areZigzag whether its varint has the sign in its last bit
   * @param leaveZerosOut whether a zero is not written, as in proto3
   */
  public record Parts(
      int[] kinds, int[] starts, int[] stops, boolean[] areFloats, boolean[] leaveZerosOut, double[] least, double[] most,
      boolean[] areZigzag, byte[][] tags, byte[][][] labels) {}

  private final int width;
  private final Parts parts;
  private final byte[] rowTag;
  private final boolean isByRow;

  private double[] table;
  private WireWriter out;

  /**
   * @param width the number of scores of a row
   * @param rowTag the tag of the answer's repeated field of rows; empty: the answer has the fields itself
   * @param isByRow whether each row is answered by a message; otherwise, the answer's fields are repeated
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

  /** Adds labels to a part that is a LABEL: those of the next classes. Call it while no answer is being written. */
  public void addLabels(int part, byte[][] more) {
    byte[][] known = parts.labels[part];
    byte[][] all = Arrays.copyOf(known, known.length + more.length);
    System.arraycopy(more, 0, all, known.length, more.length);
    parts.labels[part] = all;
  }

  /** Writes the answer to the request with the rows from `first` to `last` of `scores`; false if one has none. */
  boolean write(double[] scores, int first, int last, WireWriter out) {
    this.table = scores;
    this.out = out;
    return isByRow ? writeRows(first, last) : writeColumns(first, last);
  }

  private boolean writeRows(int first, int last) {
    int before = out.end();
    for (int row = first; row < last; row++) {
      int size = size(row);
      if (size == NO_ANSWER) {
        out.truncate(before);
        return false;
      }
      if (rowTag.length > 0) {
        write(rowTag);
        out.varint(size);
      }
      writeRow(row);
    }
    return true;
  }

  private void writeRow(int row) {
    int scores = row * width;
    for (int part = 0; part < parts.kinds.length; part++) {
      if (parts.kinds[part] == LABEL) {
        write(label(part, row));
      } else if (!isLeftOut(part, scores)) {
        write(parts.tags[part]);
        if (parts.kinds[part] == WHOLE) {
          out.varint(whole(part, scores));
          continue;
        }
        if (parts.kinds[part] == NUMBERS) {
          out.varint(bytes(part));
        }
        writeNumbers(part, scores);
      }
    }
  }

  /** The length of the message of a row, or NO_ANSWER. */
  private int size(int row) {
    int size = 0;
    int scores = row * width;
    for (int part = 0; part < parts.kinds.length; part++) {
      if (parts.kinds[part] == LABEL) {
        double number = table[scores + parts.starts[part]];
        if (!(number >= 0 && number < parts.labels[part].length)) {
          return NO_ANSWER;
        }
        size += parts.labels[part][(int) number].length;
      } else if (parts.kinds[part] == WHOLE) {
        double number = table[scores + parts.starts[part]];
        if (!(number >= parts.least[part] && number <= parts.most[part])) {
          return NO_ANSWER;
        }
        size += isLeftOut(part, scores) ? 0 : parts.tags[part].length + varintSize(whole(part, scores));
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
      if (size(row) == NO_ANSWER) {
        return false;
      }
    }
    for (int part = 0; first < last && part < parts.kinds.length; part++) {
      if (parts.kinds[part] == LABEL) {
        writeLabels(part, first, last);
      } else {
        write(parts.tags[part]);
        out.varint((last - first) * bytes(part));
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
      out.varint(size);
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
    if (parts.kinds[part] == WHOLE) {
      return (long) number == 0;
    }
    return (parts.areFloats[part] ? Float.floatToRawIntBits((float) number) : Double.doubleToRawLongBits(number)) == 0;
  }

  private int bytes(int part) {
    return (parts.stops[part] - parts.starts[part]) * (parts.areFloats[part] ? Float.BYTES : Double.BYTES);
  }

  private void writeNumbers(int part, int scores) {
    for (int at = parts.starts[part]; at < parts.stops[part]; at++) {
      double number = table[scores + at];
      if (parts.areFloats[part]) {
        out.fixed32(Float.floatToRawIntBits((float) number));
      } else {
        out.fixed64(Double.doubleToRawLongBits(number));
      }
    }
  }

  /** The varint of a part that is a whole number. */
  private long whole(int part, int scores) {
    long whole = (long) table[scores + parts.starts[part]];
    return parts.areZigzag[part] ? whole << 1 ^ whole >> 63 : whole;
  }

  private static int varintSize(long value) {
    return (Long.SIZE - Long.numberOfLeadingZeros(value | 1) + 6) / 7;
  }

  private void write(byte[] bytes) {
    out.raw(bytes, bytes.length);
  }
}
