package hotswap.java;

import hotswap.flat.WireWriter;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.IdentityHashMap;
import java.util.Map;

/** Encodes the results of a jar's method as an answer, if each value fits its field (results.py has the rules). */
public final class JarResults {
  /**
   * The rows of an answer: it is a row (SINGLE), has a field of rows (ROWS), or repeated fields (COLUMNS).
   */
  public enum Shape {
    SINGLE, ROWS, COLUMNS
  }

  /** A getter of the model threw the cause. */
  static final class Raised extends RuntimeException {
    private static final long serialVersionUID = 1;

    private Raised(Throwable cause) {
      super(null, cause, false, false);
    }
  }

  private final Shape shape;
  private final JarField[] fields; // of a row, in the proto's order
  private final int[] order; // by their numbers
  private final int rowsTag;
  private final boolean isOneRow;
  private final boolean isEachRow;
  private final Class<?> known;
  private final MethodHandle[] getters;

  private final Map<Object, Object[]> read = new IdentityHashMap<>();
  private final WireWriter row = new WireWriter();

  /**
   * @param order the indices of the fields in the order of their numbers
   * @param rowsTag the tag of the field of rows; 0: there is none
   * @param isOneRow whether a request never has more than one row
   * @param isEachRow whether there is a result for each row
   * @param known the class of the returned objects; null: they are values or lists
   * @param properties its public fields and getters, in the order of `fields`
   */
  public JarResults(
      Shape shape, JarField[] fields, int[] order, int rowsTag, boolean isOneRow, boolean isEachRow, Class<?> known,
      AccessibleObject[] properties) throws IllegalAccessException {
    this.shape = shape;
    this.fields = fields;
    this.order = order;
    this.rowsTag = rowsTag;
    this.isOneRow = isOneRow;
    this.isEachRow = isEachRow;
    this.known = known;
    this.getters = new MethodHandle[properties.length];
    for (int place = 0; place < getters.length; place++) {
      MethodHandle get = properties[place] instanceof Field field
          ? MethodHandles.publicLookup().unreflectGetter(field)
          : MethodHandles.publicLookup().unreflect((Method) properties[place]);
      getters[place] = get.asType(MethodType.methodType(Object.class, Object.class));
    }
  }

  /** The properties that the last answer read, by object. */
  Map<Object, Object[]> read() {
    return read;
  }

  /** Writes the answer to a request of `count` rows; false, perhaps after a part of it, if a value does not fit. */
  boolean write(Object[] returned, int count, WireWriter out) {
    read.clear();
    return isEachRow ? writeRows(returned, count, out) : writeWhole(returned[0], count, out);
  }

  private boolean writeWhole(Object value, int count, WireWriter out) {
    Object[] elements = JarMethod.elements(value);
    if (shape == Shape.SINGLE) {
      boolean isWrapped = count == 1 && elements != null && elements.length == 1 && fields.length > 1;
      return fill(isWrapped ? elements[0] : value, out);
    }
    return value != null && writeRows(elements != null ? elements : new Object[] {value}, count, out);
  }

  private boolean writeRows(Object[] values, int count, WireWriter out) {
    if (isOneRow && fields.length == 1 && shape == Shape.COLUMNS && values.length != 1) {
      return count == 1 && fields[0].writeMany(values, 0, 1, values.length, out); // the row's vector
    }
    if (values.length != count) {
      return false;
    } else if (shape == Shape.SINGLE) {
      return fill(values[0], out);
    } else if (shape == Shape.COLUMNS) {
      return writeColumns(values, out);
    }
    for (Object value : values) {
      row.truncate(0);
      if (!fill(value, row)) {
        return false;
      }
      out.varint(rowsTag);
      out.sized(row.bytes(), row.end());
    }
    return true;
  }

  private boolean writeColumns(Object[] values, WireWriter out) {
    int width = fields.length;
    Object[] vector = width == 1 && isOneRow ? JarMethod.elements(values[0]) : null;
    if (vector != null) {
      return fields[0].writeMany(vector, 0, 1, vector.length, out);
    }
    Object[] table = new Object[values.length * width];
    for (int i = 0; i < values.length; i++) {
      boolean isScalar = width == 1 && JarField.isScalar(values[i]);
      Object[] row = isScalar ? new Object[] {values[i]} : parts(values[i]);
      if (row == null) {
        return false;
      }
      System.arraycopy(row, 0, table, i * width, width);
    }
    for (int place : order) {
      if (!fields[place].writeMany(table, place, width, values.length, out)) {
        return false;
      }
    }
    return true;
  }

  /** Writes the fields of a row. */
  private boolean fill(Object value, WireWriter to) {
    boolean isField = fields.length == 1
        && (value == null || JarField.isScalar(value) || fields[0].isRepeated() && JarMethod.elements(value) != null);
    Object[] row = isField ? new Object[] {value} : parts(value);
    if (row == null) {
      return false;
    }
    for (int place : order) {
      if (!fields[place].write(row[place], to)) {
        return false;
      }
    }
    return true;
  }

  /** A value for each field: the elements or the properties of a value; null if they do not match the fields. */
  private Object[] parts(Object value) {
    Object[] elements = JarMethod.elements(value);
    if (elements != null) {
      return elements.length == fields.length ? elements : null;
    } else if (value == null || value.getClass() != known) {
      return null;
    }
    Object[] properties = new Object[getters.length];
    for (int place = 0; place < properties.length; place++) {
      try {
        properties[place] = (Object) getters[place].invokeExact(value);
      } catch (Throwable error) {
        throw new Raised(error);
      }
    }
    read.put(value, properties);
    return properties;
  }
}
