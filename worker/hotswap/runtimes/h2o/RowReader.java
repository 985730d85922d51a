package hotswap;

import java.util.Map;

/** Decodes the rows of requests, one behind the other, into a table of numbers. */
public final class RowReader {
  /** What a field holds, by protobuf's own numbers (descriptor.proto, FieldDescriptorProto.Type). */
  private static final int DOUBLE = 1, FLOAT = 2, INT64 = 3, UINT64 = 4, INT32 = 5, FIXED64 = 6, FIXED32 = 7, BOOL = 8,
      STRING = 9, BYTES = 12, UINT32 = 13, ENUM = 14, SFIXED32 = 15, SFIXED64 = 16, SINT32 = 17, SINT64 = 18;

  /**
   * The fields of a row by their numbers: the tag (0: no field that is known here), the type, the column (-1: of none),
   * and the categories' numbers by what stands for each (null: a number). `unknown`: what a default stands for that is
   * no category.
   */
  public record Fields(int[] tags, int[] types, int[] columns, Map<Object, Double>[] lookups, double[] defaults, double unknown) {}

  private final Fields fields;
  private final boolean mayMiss;
  private final int rowsTag;
  private final double[] row;
  private final Words[] words;
  private final Wire wire = new Wire();

  /**
   * @param mayMiss whether a row may lack a value of the model's
   * @param rowsTag the tag of the repeated field that holds a request's rows; 0: a request is a row
   */
  public RowReader(Fields fields, boolean mayMiss, int rowsTag) {
    this.fields = fields;
    this.mayMiss = mayMiss;
    this.rowsTag = rowsTag;
    this.row = new double[fields.defaults.length];
    this.words = new Words[fields.tags.length];
    for (int field = 0; field < words.length; field++) {
      boolean isNamed = fields.types[field] == STRING && fields.lookups[field] != null;
      words[field] = isNamed ? new Words(fields.lookups[field]) : null;
    }
  }

  int columns() {
    return row.length;
  }

  /** Adds the rows of a request to `table`; raises Wire.Odd where something is odd, after some of its rows perhaps. */
  void read(byte[] requests, int begin, int length, RowTable table) {
    wire.read(requests, begin, length);
    if (rowsTag == 0) {
      readRow();
      table.add(row);
      return;
    }
    while (wire.hasMore()) {
      if (wire.varint() != rowsTag) {
        throw Wire.odd();
      }
      int stop = wire.stop;
      int size = wire.length();
      wire.stop = wire.at + size;
      readRow();
      table.add(row);
      wire.stop = stop;
    }
  }

  private void readRow() {
    double[] row = this.row;
    int[] tags = fields.tags;
    System.arraycopy(fields.defaults, 0, row, 0, row.length);
    while (wire.hasMore()) {
      long tag = wire.varint();
      long field = tag >>> 3;
      if (field == 0 || field >= tags.length || tags[(int) field] != tag) {
        throw Wire.odd();
      }
      double value = value((int) field);
      int column = fields.columns[(int) field];
      if (column >= 0) {
        row[column] = value;
      }
    }
    for (double value : row) {
      if (value == fields.unknown || !mayMiss && Double.isNaN(value)) {
        throw Wire.odd();
      }
    }
  }

  private double value(int field) {
    switch (fields.types[field]) {
      case DOUBLE:
        return Double.longBitsToDouble(wire.fixed64());
      case FLOAT:
        return Float.intBitsToFloat(wire.fixed32());
      case STRING:
        if (words[field] == null) {
          wire.skipString();
          return fields.unknown;
        }
        int length = wire.length();
        return words[field].number(wire.bytes, wire.skip(length), length, fields.unknown);
      case BYTES:
        wire.skip(wire.length());
        return 0;
      default:
        long whole = whole(fields.types[field]);
        Map<Object, Double> numbers = fields.lookups[field];
        return numbers == null ? whole : numbers.getOrDefault(whole, fields.unknown);
    }
  }

  /** Reads a whole number. Raises where protobuf's libraries could read another one. */
  private long whole(int type) {
    switch (type) {
      case FIXED32:
        return wire.fixed32() & 0xFFFFFFFFL;
      case SFIXED32:
        return wire.fixed32();
      case SFIXED64:
        return wire.fixed64();
      case FIXED64:
        return signed(wire.fixed64());
      default:
    }
    long raw = wire.varint();
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
      throw Wire.odd();
    }
    return raw;
  }
}
