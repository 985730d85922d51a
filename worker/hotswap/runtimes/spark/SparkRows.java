package hotswap.spark;

import java.lang.reflect.Array;
import java.util.ArrayList;
import java.util.Collections;
import org.apache.spark.ml.linalg.VectorUDT;
import org.apache.spark.ml.linalg.Vectors;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.Attribute;
import org.apache.spark.sql.catalyst.expressions.BasePredicate;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.catalyst.expressions.MutableProjection;
import org.apache.spark.sql.catalyst.expressions.Predicate;
import org.apache.spark.sql.catalyst.expressions.SpecializedGetters;
import org.apache.spark.sql.catalyst.plans.logical.Filter;
import org.apache.spark.sql.catalyst.plans.logical.LeafNode;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.plans.logical.Project;
import org.apache.spark.sql.catalyst.util.ArrayData;
import org.apache.spark.sql.catalyst.util.GenericArrayData;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.BooleanType;
import org.apache.spark.sql.types.ByteType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DoubleType;
import org.apache.spark.sql.types.FloatType;
import org.apache.spark.sql.types.IntegerType;
import org.apache.spark.sql.types.ShortType;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.unsafe.types.UTF8String;

/**
 * Scores rows by the expressions of a Spark plan, a whole batch in one call and without a Spark job.
 *
 * <p>Written for Janino, the compiler inside Spark's own jars: no generics, no lambdas.
 *
 * <p>A batch comes as numbers[column][row], where NaN is null, and others[column] for a column that is no number:
 * String[] (text), long[] (whole numbers; null where numbers says NaN), or {values, int[] ends} (vectors as double[],
 * lists as String[] or long[], one after the other; null likewise). It leaves as an array of {boolean[] isNull, values}
 * for each output: double[], long[], String[], or {one of these, int[]}.
 */
public final class SparkRows {
  private static final VectorUDT VECTORS = new VectorUDT();

  public final StructType input;
  public final StructType output;
  private final ArrayList steps = new ArrayList();

  /** Compiles projections and filters over one leaf. Throws UnsupportedOperationException with the name of another node. */
  public SparkRows(StructType input, StructType output, LogicalPlan plan) {
    this.input = input;
    this.output = output;
    ArrayList nodes = new ArrayList();
    LogicalPlan node = plan;
    while (!(node instanceof LeafNode)) {
      if (!(node instanceof Project) && !(node instanceof Filter)) {
        throw new UnsupportedOperationException(node.nodeName());
      }
      nodes.add(node);
      node = (LogicalPlan) node.children().apply(0);
    }
    if (node.output().length() != input.length()) {
      throw new UnsupportedOperationException(node.nodeName());
    }
    Collections.reverse(nodes);
    scala.collection.immutable.Seq attributes = node.output();
    for (int i = 0; i < nodes.size(); i++) {
      node = (LogicalPlan) nodes.get(i);
      if (node instanceof Project) {
        MutableProjection projection = MutableProjection.create(((Project) node).projectList(), attributes);
        projection.initialize(0);
        steps.add(projection);
        attributes = node.output();
      } else {
        BasePredicate predicate = Predicate.create(((Filter) node).condition(), attributes);
        predicate.initialize(0);
        steps.add(predicate);
      }
    }
  }

  /** Returns the outputs; null if a filter of the plan drops any of the rows. */
  public Object[] score(double[][] numbers, Object[] others, int count) {
    GenericInternalRow row = new GenericInternalRow(input.length());
    Columns columns = new Columns(output, count);
    for (int i = 0; i < count; i++) {
      fill(row, input, numbers, others, i);
      InternalRow scored = apply(row);
      if (scored == null) {
        return null;
      }
      columns.add(scored);
    }
    return columns.take();
  }

  /** The rows of a batch as Spark's, each with its index as one more column. */
  public static InternalRow[] rows(StructType input, double[][] numbers, Object[] others, int count) {
    InternalRow[] rows = new InternalRow[count];
    for (int i = 0; i < count; i++) {
      GenericInternalRow row = new GenericInternalRow(input.length() + 1);
      fill(row, input, numbers, others, i);
      row.update(input.length(), Integer.valueOf(i));
      rows[i] = row;
    }
    return rows;
  }

  /** The outputs of the rows of a job, each with its index behind them; null if they are not one for each row. */
  public static Object[] columns(StructType output, InternalRow[] rows, int count) {
    InternalRow[] sorted = new InternalRow[count];
    for (int i = 0; i < rows.length; i++) {
      int place = rows[i].getInt(output.length());
      if (sorted[place] != null) {
        return null;
      }
      sorted[place] = rows[i];
    }
    Columns columns = new Columns(output, count);
    for (int i = 0; i < count; i++) {
      if (sorted[i] == null) {
        return null;
      }
      columns.add(sorted[i]);
    }
    return columns.take();
  }

  /** The outputs of a row, valid until the next one; null if a filter drops it. */
  public InternalRow apply(InternalRow row) {
    for (int i = 0; i < steps.size(); i++) {
      Object step = steps.get(i);
      if (step instanceof MutableProjection) {
        row = (InternalRow) ((MutableProjection) step).apply(row);
      } else if (!((BasePredicate) step).eval(row)) {
        return null;
      }
    }
    return row;
  }

  private static void fill(GenericInternalRow row, StructType input, double[][] numbers, Object[] others, int i) {
    for (int c = 0; c < input.length(); c++) {
      row.update(c, value(input.apply(c), numbers[c], others[c], i));
    }
  }

  private static Object value(StructField field, double[] numbers, Object others, int i) {
    DataType type = field.dataType();
    if (type instanceof StringType) {
      String text = ((String[]) others)[i];
      return text == null ? null : UTF8String.fromString(text);
    }
    if (Double.isNaN(numbers[i])) {
      return null;
    }
    if (type instanceof DoubleType) {
      return Double.valueOf(numbers[i]);
    }
    if (type instanceof FloatType) {
      return Float.valueOf((float) numbers[i]);
    }
    if (type instanceof BooleanType) {
      return Boolean.valueOf(numbers[i] != 0);
    }
    if (type instanceof VectorUDT || type instanceof ArrayType) {
      Object[] vectors = (Object[]) others;
      int[] ends = (int[]) vectors[1];
      return many(field, type, vectors[0], i == 0 ? 0 : ends[i - 1], ends[i]);
    }
    return whole(field, type, ((long[]) others)[i]);
  }

  private static Object many(StructField field, DataType type, Object all, int start, int end) {
    if (type instanceof VectorUDT) {
      double[] values = new double[end - start];
      System.arraycopy((double[]) all, start, values, 0, values.length);
      return VECTORS.serialize(Vectors.dense(values));
    }
    DataType element = ((ArrayType) type).elementType();
    Object[] values = new Object[end - start];
    for (int i = start; i < end; i++) {
      values[i - start] =
          element instanceof StringType
              ? (Object) UTF8String.fromString(((String[]) all)[i])
              : whole(field, element, ((long[]) all)[i]);
    }
    return new GenericArrayData(values);
  }

  private static Object whole(StructField field, DataType type, long number) {
    int bits = 8 * type.defaultSize();
    if (bits < 64 && number >> (bits - 1) != 0 && number >> (bits - 1) != -1) {
      throw new ArithmeticException(number + " does not fit in column `" + field.name() + "`, " + type.sql());
    }
    if (type instanceof IntegerType) {
      return Integer.valueOf((int) number);
    }
    if (type instanceof ShortType) {
      return Short.valueOf((short) number);
    }
    if (type instanceof ByteType) {
      return Byte.valueOf((byte) number);
    }
    return Long.valueOf(number);
  }

  /** Converts rows to columns. */
  private static final class Columns {
    private final StructType output;
    private final boolean[][] isNull;
    private final Object[] values;
    private final int[][] ends;
    private int count = 0;

    Columns(StructType output, int capacity) {
      this.output = output;
      int width = output.length();
      isNull = new boolean[width][capacity];
      values = new Object[width];
      ends = new int[width][];
      for (int c = 0; c < width; c++) {
        DataType type = output.apply(c).dataType();
        if (type instanceof VectorUDT || type instanceof ArrayType) {
          ends[c] = new int[capacity];
        }
        if (type instanceof ArrayType) {
          type = ((ArrayType) type).elementType();
        }
        if (type instanceof StringType) {
          values[c] = new String[capacity];
        } else if (type instanceof VectorUDT || isReal(type)) {
          values[c] = new double[capacity];
        } else {
          values[c] = new long[capacity];
        }
      }
    }

    void add(InternalRow row) {
      for (int c = 0; c < values.length; c++) {
        DataType type = output.apply(c).dataType();
        isNull[c][count] = row.isNullAt(c);
        if (type instanceof VectorUDT) {
          double[] vector = row.isNullAt(c) ? new double[0] : VECTORS.deserialize(row.getStruct(c, 4)).toArray();
          int start = extend(c, vector.length);
          System.arraycopy(vector, 0, values[c], start, vector.length);
        } else if (type instanceof ArrayType) {
          append(c, row.isNullAt(c) ? new GenericArrayData(new Object[0]) : row.getArray(c), (ArrayType) type);
        } else if (!row.isNullAt(c)) {
          if (type instanceof StringType) {
            ((String[]) values[c])[count] = row.getUTF8String(c).toString();
          } else if (isReal(type)) {
            ((double[]) values[c])[count] = real(row, c, type);
          } else {
            ((long[]) values[c])[count] = ((Number) row.get(c, type)).longValue();
          }
        }
      }
      count++;
    }

    Object[] take() {
      Object[] taken = new Object[values.length];
      for (int c = 0; c < values.length; c++) {
        Object column = ends[c] == null ? values[c] : new Object[] {values[c], ends[c]};
        taken[c] = new Object[] {isNull[c], column};
      }
      return taken;
    }

    private void append(int c, ArrayData list, ArrayType type) {
      DataType element = type.elementType();
      int start = extend(c, list.numElements());
      for (int i = 0; i < list.numElements(); i++) {
        if (list.isNullAt(i)) {
          throw new IllegalArgumentException("a null in the list `" + output.apply(c).name() + "`, which no answer can hold");
        }
        if (element instanceof StringType) {
          ((String[]) values[c])[start + i] = list.getUTF8String(i).toString();
        } else if (isReal(element)) {
          ((double[]) values[c])[start + i] = real(list, i, element);
        } else {
          ((long[]) values[c])[start + i] = ((Number) list.get(i, element)).longValue();
        }
      }
    }

    /** Makes room for the elements of this row's vector or list; returns the index of the first. */
    private int extend(int c, int length) {
      int start = count == 0 ? 0 : ends[c][count - 1];
      int room = Array.getLength(values[c]);
      if (start + length > room) {
        Object grown = Array.newInstance(values[c].getClass().getComponentType(), Math.max(2 * room, start + length));
        System.arraycopy(values[c], 0, grown, 0, start);
        values[c] = grown;
      }
      ends[c][count] = start + length;
      return start;
    }

    private static boolean isReal(DataType type) {
      return type instanceof DoubleType || type instanceof FloatType || type instanceof BooleanType;
    }

    private static double real(SpecializedGetters from, int place, DataType type) {
      if (type instanceof DoubleType) {
        return from.getDouble(place);
      }
      return type instanceof FloatType ? from.getFloat(place) : from.getBoolean(place) ? 1 : 0;
    }
  }
}
