package hotswap.java;

import hotswap.flat.Declined;
import hotswap.flat.RequestReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Decodes the rows of a request to Java values. */
public final class JarReader extends RequestReader {
  /** The default of a place that every row must fill. */
  public static final Object NEEDED = new Object();

  private static final int BYTES_ON_WIRE = 2;
  private static final int MOST_VALUES = 1 << 18; // of a request, in Java's heap

  private final JarSource[] fields;
  private final Object[] defaults;
  private final List<JarSource> many;

  private Object[] values = new Object[0];
  private int rows;
  private int first; // the place of the row's first value
  private int taken; // values of the request

  /**
   * @param fields the fields of a row by number; null: no known field has it
   * @param defaults the value of each place that a row lacks
   * @param rowsTag the tag of the repeated field of rows; 0: a request is a row
   */
  public JarReader(JarSource[] fields, Object[] defaults, int rowsTag) {
    super(fields.length, rowsTag);
    this.fields = fields;
    this.defaults = defaults;
    this.many = Arrays.stream(fields).filter(field -> field != null && field.component != null).toList();
  }

  /** The values of the request's rows: those of row i begin at i * width. */
  Object[] values() {
    return values;
  }

  int width() {
    return defaults.length;
  }

  int rows() {
    return rows;
  }

  /** Reads a request. Throws Declined. */
  void read(byte[] requests, int begin, int length) {
    rows = taken = 0;
    readRows(requests, begin, length);
  }

  @Override
  protected void startRow() {
    first = rows++ * defaults.length;
    take(1 + defaults.length);
    if (values.length < first + defaults.length) {
      values = Arrays.copyOf(values, 2 * (first + defaults.length));
    }
    System.arraycopy(defaults, 0, values, first, defaults.length);
  }

  @Override
  protected void readField(int number, long tag) {
    JarSource field = fields[number];
    if (field == null) {
      throw new Declined();
    } else if (field.component != null) {
      readMany(field, tag);
    } else if (tag != field.tag) {
      throw new Declined();
    } else {
      Object value = field.value(wire);
      if (field.place >= 0) {
        values[first + field.place] = value;
      }
    }
  }

  @Override
  protected void endRow() {
    for (JarSource field : many) {
      values[first + field.place] = array(field.component, (List<?>) values[first + field.place]);
    }
    for (int at = first; at < first + defaults.length; at++) {
      if (values[at] == NEEDED) {
        throw new Declined();
      }
    }
  }

  @SuppressWarnings("unchecked")
  private void readMany(JarSource field, long tag) {
    List<Object> list = (List<Object>) values[first + field.place];
    if (list == null) {
      values[first + field.place] = list = new ArrayList<>();
    }
    if (tag == field.tag) {
      take(1);
      list.add(field.value(wire));
    } else if (tag == (field.tag & ~7 | BYTES_ON_WIRE)) { // packed
      int outer = wire.enter();
      while (wire.hasMore()) {
        take(1);
        list.add(field.value(wire));
      }
      wire.leave(outer);
    } else {
      throw new Declined();
    }
  }

  private void take(int count) {
    taken += count;
    if (taken > MOST_VALUES) {
      throw new Declined();
    }
  }

  private static Object array(Class<?> component, List<?> list) {
    Object[] elements = list == null ? new Object[0] : list.toArray();
    return JarMethod.array(component, elements, 0, elements.length);
  }
}
