package hotswap.flat;

import java.util.Map;

/** Decodes the rows of requests into a table of numbers. */
public final class RowReader extends RequestReader {
  /**
   * The fields of a row by number.
   *
   * @param tags 0: no known field has this number
   * @param types of FieldType
   * @param columns -1: the field fills no column
   * @param lookups the number of each category; null: the field is a number
   * @param defaults the value of each column that a row lacks
   * @param unknown the number of an unknown category, which declines the request
   */
  public record Fields(
      int[] tags, int[] types, int[] columns, Map<Object, Double>[] lookups, double[] defaults, double unknown) {}

  private final int[] tags;
  private final int[] types;
  private final int[] columns;
  private final Map<Object, Double>[] lookups;
  private final double[] defaults;
  private final double unknown;
  private final boolean mayMiss;
  private final double[] row;
  private final Words[] words;
  private RowTable table;

  /**
   * @param mayMiss whether a row may lack a value that the model reads
   * @param rowsTag the tag of the repeated field of rows; 0: a request is a row
   */
  public RowReader(Fields fields, boolean mayMiss, int rowsTag) {
    super(fields.tags.length, rowsTag);
    this.tags = fields.tags;
    this.types = fields.types;
    this.columns = fields.columns;
    this.lookups = fields.lookups;
    this.defaults = fields.defaults;
    this.unknown = fields.unknown;
    this.mayMiss = mayMiss;
    this.row = new double[defaults.length];
    this.words = new Words[tags.length];
    for (int field = 0; field < words.length; field++) {
      boolean isNamed = types[field] == FieldType.STRING && lookups[field] != null;
      words[field] = isNamed ? new Words(lookups[field]) : null;
    }
  }

  int columns() {
    return row.length;
  }

  /** Adds the rows of a request to `table`. Throws Declined, perhaps after some of its rows. */
  void read(byte[] requests, int begin, int length, RowTable table) {
    this.table = table;
    readRows(requests, begin, length);
  }

  @Override
  protected void startRow() {
    System.arraycopy(defaults, 0, row, 0, row.length);
  }

  @Override
  protected void readField(int field, long tag) {
    if (tags[field] != tag) {
      throw new Declined();
    }
    double value = value(field);
    int column = columns[field];
    if (column >= 0) {
      row[column] = value;
    }
  }

  @Override
  protected void endRow() {
    for (double value : row) {
      if (value == unknown || !mayMiss && Double.isNaN(value)) {
        throw new Declined();
      }
    }
    table.add(row);
  }

  private double value(int field) {
    switch (types[field]) {
      case FieldType.DOUBLE:
        return Double.longBitsToDouble(wire.fixed64());
      case FieldType.FLOAT:
        return Float.intBitsToFloat(wire.fixed32());
      case FieldType.STRING:
        if (words[field] == null) {
          wire.skipString();
          return unknown;
        }
        int length = wire.length();
        double number = words[field].number(wire.bytes, wire.skip(length), length, unknown);
        if (number == unknown) { // it may not be UTF-8, which refuses a request even if a later value replaces it
          throw new Declined();
        }
        return number;
      case FieldType.BYTES:
        wire.skip(wire.length());
        return 0;
      default:
        long whole = wire.whole(types[field]);
        Map<Object, Double> numbers = lookups[field];
        return numbers == null ? whole : numbers.getOrDefault(whole, unknown);
    }
  }
}
