package hotswap;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Decodes the rows of a request to Java values, one behind the other; raises Wire.Odd where something is unusual. */
public final class JarReader {
  /** The default of a place that each row must give a value. */
  public static final Object NEEDED = new Object();

  private static final int BYTES_ON_WIRE = 2;
  private static final int MOST_VALUES = 1 << 18; // of a request, in Java's heap

  private final JarSource[] fields;
  private final Object[] defaults;
  private final int rowsTag;
  private final Wire wire = new Wire();
  private final List<JarSource> many;

  private Object[] values = new Object[0];
  private int rows;
  private int taken; // values of the request

  /**
   * @param fields a row's fields by their numbers (null: not known here)
   * @param defaults the value of each place that a row does not fill
   * @param rowsTag the tag of the repeated field that holds a request's rows; 0: a request is a row
   */
  public JarReader(JarSource[] fields, Object[] defaults, int rowsTag) {
    this.fields = fields;
    this.defaults = defaults;
    this.rowsTag = rowsTag;
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

  void read(byte[] requests, int begin, int length) {
    wire.read(requests, begin, length);
    rows = taken = 0;
    if (rowsTag == 0) {
      readRow();
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
      wire.stop = stop;
    }
  }

  private void readRow() {
    int first = rows++ * defaults.length;
    take(1 + defaults.length);
    if (values.length < first + defaults.length) {
      values = Arrays.copyOf(values, 2 * (first + defaults.length));
    }
    System.arraycopy(defaults, 0, values, first, defaults.length);
    while (wire.hasMore()) {
      long tag = wire.varint();
      long number = tag >>> 3;
      JarSource field = number < fields.length ? fields[(int) number] : null;
      if (field == null) {
        throw Wire.odd();
      } else if (field.component != null) {
        readMany(field, first, tag);
      } else if (tag != field.tag) {
        throw Wire.odd();
      } else {
        Object value = field.value(wire);
        if (field.place >= 0) {
          values[first + field.place] = value;
        }
      }
    }
    for (JarSource field : many) {
      values[first + field.place] = array(field.component, (List<?>) values[first + field.place]);
    }
    for (int at = first; at < first + defaults.length; at++) {
      if (values[at] == NEEDED) {
        throw Wire.odd();
      }
    }
  }

  @SuppressWarnings("unchecked")
  private void readMany(JarSource field, int first, long tag) {
    List<Object> list = (List<Object>) values[first + field.place];
    if (list == null) {
      values[first + field.place] = list = new ArrayList<>();
    }
    if (tag == field.tag) {
      take(1);
      list.add(field.value(wire));
    } else if (tag == (field.tag & ~7 | BYTES_ON_WIRE)) { // packed
      int stop = wire.stop;
      int size = wire.length();
      wire.stop = wire.at + size;
      while (wire.hasMore()) {
        take(1);
        list.add(field.value(wire));
      }
      wire.stop = stop;
    } else {
      throw Wire.odd();
    }
  }

  private void take(int count) {
    taken += count;
    if (taken > MOST_VALUES) {
      throw Wire.odd();
    }
  }

  private static Object array(Class<?> component, List<?> list) {
    Object[] given = list == null ? new Object[0] : list.toArray();
    return JarMethod.array(component, given, 0, given.length);
  }
}
