package hotswap.java;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;

/** A jar's method, and the conversion of a request's rows to its arguments. */
public final class JarMethod {
  /** Makes a Java value of a row: of the `width` values from `first` on. */
  public interface Maker {
    Object make(Object[] values, int first, int width) throws Throwable;
  }

  /** The arguments of a call: the values of a row, an object made of a row, of all rows, or the rows as text. */
  public enum Takes {
    ROW_VALUES, ROW, ALL_IN_ARRAY, ALL_IN_LIST, TEXT
  }

  private static final Object[] NOTHING_PREPARED = new Object[0];

  private final MethodHandle handle;
  private final Takes takes;
  private final Maker maker;
  private final Class<?> component;
  private final JarCsv csv;
  private final boolean isEachRow;

  /**
   * @param target the object that the method is called on; null: it is static
   * @param maker makes the object of a row; null: its values are the arguments, or it is text
   * @param component of the array of all rows; null: they are not in an array
   * @param csv writes the rows as text; null: they are not passed as text
   * @param isEachRow whether there is a call for each row
   */
  public JarMethod(
      Method method, Object target, Takes takes, Maker maker, Class<?> component, JarCsv csv, boolean isEachRow)
      throws IllegalAccessException {
    MethodHandle direct = MethodHandles.publicLookup().unreflect(method).asFixedArity();
    this.handle = spread(Modifier.isStatic(method.getModifiers()) ? direct : direct.bindTo(target));
    this.takes = takes;
    this.maker = maker;
    this.component = component;
    this.csv = csv;
    this.isEachRow = isEachRow;
  }

  /** Prepares all that can be prepared before any of the model's code runs. Throws Declined. */
  Object[] prepare(JarReader rows) {
    return takes == Takes.TEXT ? new Object[] {csv.text(rows.values(), rows.rows(), rows.width())} : NOTHING_PREPARED;
  }

  /** Calls the method for each row, or once; returns its results. */
  Object[] call(JarReader rows, Object[] prepared) throws Throwable {
    Object[] values = rows.values();
    int width = rows.width();
    if (!isEachRow) {
      return new Object[] {(Object) handle.invokeExact(takes == Takes.TEXT ? prepared : whole(rows))};
    }
    Object[] returned = new Object[rows.rows()];
    for (int row = 0; row < returned.length; row++) {
      returned[row] = (Object) handle.invokeExact(arguments(values, row * width, width));
    }
    return returned;
  }

  private Object[] whole(JarReader rows) throws Throwable {
    if (takes == Takes.ROW || takes == Takes.ROW_VALUES) {
      return arguments(rows.values(), 0, rows.width());
    }
    Object[] made = new Object[rows.rows()];
    for (int row = 0; row < made.length; row++) {
      made[row] = maker.make(rows.values(), row * rows.width(), rows.width());
    }
    boolean isList = takes == Takes.ALL_IN_LIST;
    return new Object[] {isList ? new ArrayList<>(Arrays.asList(made)) : array(component, made, 0, made.length)};
  }

  private Object[] arguments(Object[] values, int first, int width) throws Throwable {
    boolean areValues = takes == Takes.ROW_VALUES;
    return areValues ? Arrays.copyOfRange(values, first, first + width) : new Object[] {maker.make(values, first, width)};
  }

  // ---- makers

  /** The first value. */
  public static Maker value() {
    return (values, first, width) -> values[first];
  }

  /** An array of the values. */
  public static Maker vector(Class<?> component) {
    return (values, first, width) -> array(component, values, first, width);
  }

  /** A List of the values. */
  public static Maker list() {
    return (values, first, width) -> new ArrayList<>(Arrays.asList(values).subList(first, first + width));
  }

  /** An object created from the values as arguments. */
  public static Maker created(Constructor<?> constructor) throws IllegalAccessException {
    MethodHandle make = spread(MethodHandles.publicLookup().unreflectConstructor(constructor).asFixedArity());
    return (values, first, width) -> (Object) make.invokeExact(Arrays.copyOfRange(values, first, first + width));
  }

  /** An object whose properties, setters and public fields, are set to one value each. */
  public static Maker bean(Constructor<?> constructor, AccessibleObject[] properties) throws IllegalAccessException {
    MethodHandle make = MethodHandles.publicLookup().unreflectConstructor(constructor);
    MethodHandle bare = make.asType(MethodType.methodType(Object.class));
    MethodHandle[] setters = new MethodHandle[properties.length];
    for (int place = 0; place < setters.length; place++) {
      setters[place] = setter(properties[place]);
    }
    return (values, first, width) -> {
      Object made = (Object) bare.invokeExact();
      for (int place = 0; place < width; place++) {
        setters[place].invokeExact(made, values[first + place]);
      }
      return made;
    };
  }

  private static MethodHandle setter(AccessibleObject property) throws IllegalAccessException {
    MethodHandle set = property instanceof Field field
        ? MethodHandles.publicLookup().unreflectSetter(field)
        : MethodHandles.publicLookup().unreflect((Method) property).asFixedArity();
    return set.asType(MethodType.methodType(void.class, Object.class, Object.class));
  }

  /** The handle, taking its arguments as an array, and with every type an Object. */
  private static MethodHandle spread(MethodHandle handle) {
    int count = handle.type().parameterCount();
    return handle.asType(handle.type().generic()).asSpreader(Object[].class, count);
  }

  static Object array(Class<?> component, Object[] values, int first, int count) {
    if (component == double.class) {
      double[] made = new double[count];
      for (int i = 0; i < count; i++) {
        made[i] = (Double) values[first + i];
      }
      return made;
    }
    Object made = Array.newInstance(component, count);
    for (int i = 0; i < count; i++) {
      Array.set(made, i, values[first + i]);
    }
    return made;
  }

  /** The elements of an array or of one of Java's own collections; null: the value is neither. */
  static Object[] elements(Object value) {
    if (value instanceof Object[] array) {
      return array;
    } else if (value instanceof java.util.Collection<?> collection) {
      return value.getClass().getClassLoader() == null ? collection.toArray() : null;
    } else if (value == null || !value.getClass().isArray()) {
      return null;
    }
    Object[] boxed = new Object[Array.getLength(value)];
    for (int i = 0; i < boxed.length; i++) {
      boxed[i] = Array.get(value, i);
    }
    return boxed;
  }
}
