package hotswap;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import hex.genmodel.GenModel;
import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Map;

/**
 * Answers a batch of requests whose rows are flat, in one call: decodes them, scores them and encodes the answers.
 *
 * <p>It answers only what is plainly good. Whatever is odd in any way (a byte that is not where it is expected, a
 * category that the model does not know, a model that raises) is left to the plain path in Python, which knows the
 * policies and the words of refusals: so both give the same answers, and the rules are written once.
 *
 * <p>A batch, and its answers, are u32 n, n x u32 lengths, the n values joined; all little-endian. The length of what is
 * left is LEFT.
 */
public final class FlatRows {
  /** What a field holds, by protobuf's own numbers (descriptor.proto, FieldDescriptorProto.Type). */
  private static final int DOUBLE = 1, FLOAT = 2, INT64 = 3, UINT64 = 4, INT32 = 5, FIXED64 = 6, FIXED32 = 7, BOOL = 8,
      STRING = 9, BYTES = 12, UINT32 = 13, ENUM = 14, SFIXED32 = 15, SFIXED64 = 16, SINT32 = 17, SINT64 = 18;

  /** What a part of an answer is. */
  private static final int LABEL = 0, NUMBER = 1, NUMBERS = 2;

  private static final int LEFT = -1;
  private static final int MAX_VARINT = 5;
  private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  /**
   * The fields of a row by their numbers: the tag (0: no field that is known here), the type, the column (-1: of none),
   * and the categories' numbers by what stands for each (null: a number). `unknown`: what a default stands for that is
   * no category.
   */
  public record Fields(int[] tags, int[] types, int[] columns, Map<?, ?>[] lookups, double[] defaults, double unknown) {}

  /**
   * The parts of an answer in the order of their fields: a LABEL is a whole field for each class, a NUMBER or NUMBERS
   * the scores from `starts` to `stops`, as floats or doubles behind the tag. A zero may be left out as proto3 has it.
   */
  public record Parts(
      int[] kinds, int[] starts, int[] stops, boolean[] areFloats, boolean[] leaveZerosOut, byte[][] tags,
      byte[][][] labels) {}

  private final GenModel model;
  private final double[] scores;
  private final Fields fields;
  private final boolean mayMiss;
  private final int rowsTag;
  private final Parts parts;
  private final byte[] rowTag;
  private final boolean isByRow;

  private double[] table = new double[1 << 10];
  private byte[] out = new byte[1 << 16];
  private int end;
  private ByteBuffer answers = ByteBuffer.allocateDirect(0);

  /**
   * @param width how many numbers the model gives for a row
   * @param mayMiss whether a row may lack a value of the model's
   * @param rowsTag the tag of the repeated field that holds a request's rows; 0: a request is a row
   * @param rowTag the tag of the repeated field that holds an answer's rows; empty: the answer has the fields itself
   * @param isByRow whether each row is answered by a message; else the answer's fields are repeated
   */
  public FlatRows(
      GenModel model, int width, Fields fields, boolean mayMiss, int rowsTag, Parts parts, byte[] rowTag,
      boolean isByRow) {
    this.model = model;
    this.scores = new double[width];
    this.fields = fields;
    this.mayMiss = mayMiss;
    this.rowsTag = rowsTag;
    this.parts = parts;
    this.rowTag = rowTag;
    this.isByRow = isByRow;
  }

  /** Answers a batch; what it gives holds until the next one. */
  public ByteBuffer answer(ByteBuffer batch) {
    batch.order(ByteOrder.LITTLE_ENDIAN);
    int count = batch.getInt(0);
    int start = 4 * (count + 1);
    byte[] requests = new byte[batch.limit() - start];
    batch.get(start, requests);
    int[] lengths = new int[count];
    end = 0;
    for (int i = 0, begin = 0; i < count; i++) {
      int length = batch.getInt(4 * (i + 1));
      int before = end;
      if (answer(requests, begin, length)) {
        lengths[i] = end - before;
      } else {
        lengths[i] = LEFT;
        end = before;
      }
      begin += length;
    }
    if (answers.capacity() < start + end) {
      answers = ByteBuffer.allocateDirect(2 * (start + end)).order(ByteOrder.LITTLE_ENDIAN);
    }
    answers.clear().putInt(count);
    for (int length : lengths) {
      answers.putInt(length);
    }
    return answers.put(out, 0, end).flip();
  }

  private boolean answer(byte[] requests, int begin, int length) {
    try {
      CodedInputStream in = CodedInputStream.newInstance(requests, begin, length);
      int rows = rowsTag == 0 ? score(in, 0) : scoreAll(in);
      return rows != LEFT && (isByRow ? writeRows(rows) : writeColumns(rows));
    } catch (IOException | RuntimeException error) {
      return false; // the plain path finds out what it is, and says so
    }
  }

  // ---- in

  private int scoreAll(CodedInputStream in) throws IOException {
    int rows = 0;
    for (int tag, at = 0; (tag = in.readTag()) != 0; at = in.getTotalBytesRead()) {
      if (tag != rowsTag || !isUsual(in, at, tag)) {
        return LEFT;
      }
      at = in.getTotalBytesRead();
      int length = in.readRawVarint32();
      if (!isUsual(in, at, length)) {
        return LEFT;
      }
      int limit = in.pushLimit(length);
      if (score(in, rows++) == LEFT) {
        return LEFT;
      }
      in.popLimit(limit);
    }
    return rows;
  }

  /** Scores the row that comes, into the table's row of that number; 1, or LEFT. */
  private int score(CodedInputStream in, int number) throws IOException {
    double[] row = fields.defaults.clone(); // some models overwrite it
    if (!decode(in, row)) {
      return LEFT;
    }
    Arrays.fill(scores, 0);
    model.score0(row, scores);
    int width = scores.length;
    if (table.length < (number + 1) * width) {
      table = Arrays.copyOf(table, 2 * (number + 1) * width);
    }
    System.arraycopy(scores, 0, table, number * width, width);
    return 1;
  }

  private boolean decode(CodedInputStream in, double[] row) throws IOException {
    int[] tags = fields.tags;
    for (int tag, at = in.getTotalBytesRead(); (tag = in.readTag()) != 0; at = in.getTotalBytesRead()) {
      int field = WireFormat.getTagFieldNumber(tag);
      if (field >= tags.length || tags[field] != tag || !isUsual(in, at, tag)) {
        return false;
      }
      int column = fields.columns[field];
      Map<?, ?> lookup = fields.lookups[field];
      double value;
      switch (fields.types[field]) {
        case DOUBLE:
          value = in.readDouble();
          break;
        case FLOAT:
          value = in.readFloat();
          break;
        case STRING:
          value = category(lookup, in.readStringRequireUtf8());
          break;
        case BYTES:
          in.readByteArray();
          value = 0;
          break;
        default:
          long whole = whole(in, fields.types[field]);
          value = lookup == null ? whole : category(lookup, whole);
      }
      if (column >= 0) {
        row[column] = value;
      }
    }
    for (double value : row) {
      if (value == fields.unknown || !mayMiss && Double.isNaN(value)) {
        return false;
      }
    }
    return true;
  }

  private double category(Map<?, ?> lookup, Object value) {
    Object number = lookup == null ? null : lookup.get(value);
    return number == null ? fields.unknown : (Double) number;
  }

  /** Reads a whole number. Throws where protobuf's libraries could read another one. */
  private static long whole(CodedInputStream in, int type) throws IOException {
    switch (type) {
      case FIXED32:
        return in.readFixed32() & 0xFFFFFFFFL;
      case SFIXED32:
        return in.readSFixed32();
      case SFIXED64:
        return in.readSFixed64();
      case FIXED64:
        return signed(in.readFixed64());
      default:
    }
    int at = in.getTotalBytesRead();
    long raw = in.readRawVarint64();
    if (!isUsual(in, at, raw)) {
      throw new IOException();
    }
    switch (type) {
      case BOOL:
        return raw == 0 ? 0 : 1;
      case INT32:
      case ENUM:
        return (int) raw;
      case UINT32:
        return raw & 0xFFFFFFFFL;
      case SINT32:
        return CodedInputStream.decodeZigZag32((int) raw);
      case SINT64:
        return CodedInputStream.decodeZigZag64(raw);
      case UINT64:
        return signed(raw);
      default:
        return raw;
    }
  }

  private static long signed(long raw) throws IOException {
    if (raw < 0) {
      throw new IOException();
    }
    return raw;
  }

  /** Whether a varint was written in the one shortest way: of others not all of protobuf's libraries say the same. */
  private static boolean isUsual(CodedInputStream in, int begin, int value) {
    return isUsual(in, begin, value & 0xFFFFFFFFL);
  }

  private static boolean isUsual(CodedInputStream in, int begin, long value) {
    return in.getTotalBytesRead() - begin == CodedOutputStream.computeUInt64SizeNoTag(value);
  }

  // ---- out

  private boolean writeRows(int rows) {
    for (int row = 0; row < rows; row++) {
      int size = size(row);
      if (size == LEFT) {
        return false;
      }
      if (rowTag.length > 0) {
        write(rowTag);
        writeVarint(size);
      }
      for (int part = 0; part < parts.kinds.length; part++) {
        int scores = row * this.scores.length;
        if (parts.kinds[part] == LABEL) {
          write(parts.labels[part][(int) table[scores + parts.starts[part]]]);
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

  /** How long the message of a row is; LEFT where it has no class. */
  private int size(int row) {
    int size = 0;
    int scores = row * this.scores.length;
    for (int part = 0; part < parts.kinds.length; part++) {
      if (parts.kinds[part] == LABEL) {
        double number = table[scores + parts.starts[part]];
        if (!(number >= 0 && number < parts.labels[part].length)) {
          return LEFT;
        }
        size += parts.labels[part][(int) number].length;
      } else if (!isLeftOut(part, scores)) {
        int bytes = bytes(part);
        size += parts.tags[part].length + bytes;
        size += parts.kinds[part] == NUMBERS ? CodedOutputStream.computeUInt32SizeNoTag(bytes) : 0;
      }
    }
    return size;
  }

  private boolean writeColumns(int rows) {
    for (int row = 0; row < rows; row++) {
      if (size(row) == LEFT) {
        return false;
      }
    }
    int width = this.scores.length;
    for (int part = 0; rows > 0 && part < parts.kinds.length; part++) {
      if (parts.kinds[part] == LABEL) {
        for (int row = 0; row < rows; row++) {
          write(parts.labels[part][(int) table[row * width + parts.starts[part]]]);
        }
      } else {
        write(parts.tags[part]);
        writeVarint(rows * bytes(part));
        for (int row = 0; row < rows; row++) {
          writeNumbers(part, row * width);
        }
      }
    }
    return true;
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
