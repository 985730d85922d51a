package hotswap.flat;

import java.util.Map;
import java.util.stream.IntStream;

/** Decodes the rows of requests into a table of numbers. */
public final class RowReader extends RequestReader {
  /**
   * The fields of a row by number.
   *
   * @param tags 0: no known field has this number
   * @param types of FieldType
   * @param columns -1: the field fills no column
   * @param widths the values of a packed field, which fills as many columns; 0: the field is not repeated
   * @param lookups the number of each category; null: the field is a number, or a text
   * @param defaults the value of each column that a row lacks
   * @param unknown the number of an unknown category and of a lacking vector, which declines the request
   */
  public record Fields(
      int[] tags, int[] types, int[] columns, int[] widths, Map<Object, Double>[] lookups, double[] defaults,
      double unknown) {}

  private final int[] tags;
  private final int[] types;
  private final int[] columns;
  private final int[] widths;
  private final Map<Object, Double>[] lookups;
  private final double[] defaults;
  private final double unknown;
  private final boolean mayMiss;
  private final double[] row;
  private final Words[] words;
  private final Texts texts;
  private final int scalars; // columns that no vector fills, before those of vectors
  private final int[] emptyTexts; // columns whose text is empty in a row that lacks it
  private RowTable table;

  /**
   * @param mayMiss whether a row may lack a value that the model reads
   * @param scalars the columns before those of vectors
   * @param texts numbers any text of a column
   * @param rowsTag the tag of the repeated field of rows; 0: a request is a row
   */
  public RowReader(Fields fields, boolean mayMiss, int scalars, Texts texts, int rowsTag) {
    super(fields.tags.length, rowsTag);
    this.tags = fields.tags;
    this.types = fields.types;
    this.columns = fields.columns;
    this.widths = fields.widths;
    this.lookups = fields.lookups;
    this.defaults = fields.defaults;
    this.unknown = fields.unknown;
    this.mayMiss = mayMiss;
    this.scalars = scalars;
    this.texts = texts;
    this.row = new double[defaults.length];
    this.words = new Words[tags.length];
    for (int field = 0; field < words.length; field++) {
      boolean isNamed = types[field] == FieldType.STRING && lookups[field] != null;
      words[field] = isNamed ? new Words(lookups[field]) : null;
    }
    this.emptyTexts = IntStream.range(0, tags.length).filter(this::isAnyText).map(field -> columns[field])
        .filter(column -> defaults[column] == unknown).toArray();
  }

  private boolean isAnyText(int field) {
    return types[field] == FieldType.STRING && lookups[field] == null && columns[field] >= 0;
  }

  int columns() {
    return row.length;
  }

  /** Adds the rows of a request to `table`. Throws Declined, perhaps after some of its rows. */
  void read(byte[] requests, int begin, int length, RowTable table) {
    this.table = table;
    if (table.size() == 0) {
      texts.limit();
    }
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
    int column = columns[field];
    if (widths[field] > 0) {
      readVector(field, column, column + widths[field]);
      return;
    }
    double value = value(field);
    if (column >= 0) {
      row[column] = value;
    }
  }

  @Override
  protected void endRow() {
    for (int column : emptyTexts) {
      if (row[column] == unknown) {
        row[column] = texts.number("");
      }
    }
    for (int column = 0; column < scalars; column++) {
      double value = row[column];
      if (value == unknown || !mayMiss && Double.isNaN(value)) {
        throw new Declined();
      }
    }
    for (int field = 0; field < widths.length; field++) {
      if (widths[field] > 0 && row[columns[field]] == unknown) {
        throw new Declined();
      }
    }
    table.add(row);
  }

  /** Reads a packed field, whose values may come once, all together. */
  private void readVector(int field, int column, int stop) {
    if (row[column] != unknown) {
      throw new Declined();
    }
    int outer = wire.enter();
    switch (types[field]) {
      case FieldType.DOUBLE:
        wire.doubles(row, column, stop);
        break;
      case FieldType.FLOAT:
        wire.floats(row, column, stop);
        break;
      default:
        for (int at = column; at < stop; at++) {
          row[at] = value(field);
        }
    }
    if (wire.hasMore() || row[column] == unknown) {
      throw new Declined();
    }
    wire.leave(outer);
  }

  private double skipped() {
    wire.skipString();
    return unknown;
  }

  private double value(int field) {
    switch (types[field]) {
      case FieldType.DOUBLE:
        return Double.longBitsToDouble(wire.fixed64());
      case FieldType.FLOAT:
        return Float.intBitsToFloat(wire.fixed32());
      case FieldType.STRING:
        if (words[field] == null) {
          return isAnyText(field) ? texts.number(wire.string()) : skipped();
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
