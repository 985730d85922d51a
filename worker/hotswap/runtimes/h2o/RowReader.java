package hotswap;

import java.util.Map;

/** Decodes the rows of requests, one behind the other, into a table of numbers. */
public final class RowReader {
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
      boolean isNamed = fields.types[field] == Wire.STRING && fields.lookups[field] != null;
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
      case Wire.DOUBLE:
        return Double.longBitsToDouble(wire.fixed64());
      case Wire.FLOAT:
        return Float.intBitsToFloat(wire.fixed32());
      case Wire.STRING:
        if (words[field] == null) {
          wire.skipString();
          return fields.unknown;
        }
        int length = wire.length();
        double number = words[field].number(wire.bytes, wire.skip(length), length, fields.unknown);
        if (number == fields.unknown) { // perhaps no UTF-8, which makes a request odd even where the row says it again
          throw Wire.odd();
        }
        return number;
      case Wire.BYTES:
        wire.skip(wire.length());
        return 0;
      default:
        long whole = wire.whole(fields.types[field]);
        Map<Object, Double> numbers = fields.lookups[field];
        return numbers == null ? whole : numbers.getOrDefault(whole, fields.unknown);
    }
  }
}
