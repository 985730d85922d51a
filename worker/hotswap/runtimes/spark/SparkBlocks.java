package hotswap.spark;

import hotswap.flat.BlockScorer;
import java.util.HashMap;
import org.apache.spark.ml.linalg.VectorUDT;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.SpecificInternalRow;
import org.apache.spark.sql.types.BooleanType;
import org.apache.spark.sql.types.ByteType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DoubleType;
import org.apache.spark.sql.types.FloatType;
import org.apache.spark.sql.types.IntegerType;
import org.apache.spark.sql.types.ShortType;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.unsafe.types.UTF8String;

/**
 * Scores rows of numbers by the expressions of a Spark plan.
 *
 * <p>In a row, NaN is null, and a string is its index among the column's known strings. In the scores, a string is its
 * index among the output's, a vector takes its length, and the last score is 0, or NaN to decline the row: the model
 * throws, drops the row, or lacks a value that an answer needs.
 *
 * <p>Written for Janino, as SparkRows is.
 */
public final class SparkBlocks implements BlockScorer {
  private static final VectorUDT VECTORS = new VectorUDT();
  private static final double EXACT = 1L << 53; // doubles below it hold every whole number
  private static final int DOUBLE = 0, FLOAT = 1, BOOLEAN = 2, LONG = 3, INT = 4, SHORT = 5, BYTE = 6, TEXT = 7, VECTOR = 8;

  private final SparkRows rows;
  private final SpecificInternalRow row;
  private final int[] inputTypes;
  private final int[] outputTypes;
  private final UTF8String[][] known;
  private final HashMap[] numbers;
  private final int[] starts;
  private final boolean[] areFinite;
  private final int width;

  /**
   * @param known the strings that each column may hold; null: it has no strings
   * @param texts the strings that each output may be; null: it is no string
   * @param starts the first score of each output, and the last score of a row
   * @param areFinite whether an output's number must be finite
   */
  public SparkBlocks(SparkRows rows, String[][] known, String[][] texts, int[] starts, boolean[] areFinite) {
    this.rows = rows;
    this.row = new SpecificInternalRow(rows.input);
    this.inputTypes = types(rows.input);
    this.outputTypes = types(rows.output);
    this.known = new UTF8String[known.length][];
    for (int c = 0; c < known.length; c++) {
      if (known[c] != null) {
        this.known[c] = new UTF8String[known[c].length];
        for (int i = 0; i < known[c].length; i++) {
          this.known[c][i] = UTF8String.fromString(known[c][i]);
        }
      }
    }
    this.numbers = new HashMap[texts.length];
    for (int c = 0; c < texts.length; c++) {
      if (texts[c] != null) {
        numbers[c] = new HashMap();
        for (int i = 0; i < texts[c].length; i++) {
          numbers[c].put(UTF8String.fromString(texts[c][i]), Double.valueOf(i));
        }
      }
    }
    this.starts = starts;
    this.areFinite = areFinite;
    this.width = starts[starts.length - 1] + 1;
  }

  public void score(double[] rows, int count, double[] scores) {
    for (int i = 0; i < count; i++) {
      scores[(i + 1) * width - 1] = isScored(rows, i * inputTypes.length, scores, i * width) ? 0 : Double.NaN;
    }
  }

  private boolean isScored(double[] rows, int from, double[] scores, int to) {
    try {
      if (!fill(rows, from)) {
        return false;
      }
      InternalRow scored = this.rows.apply(row);
      return scored != null && write(scored, scores, to);
    } catch (Throwable error) {
      return false; // the fallback finds the reason, and reports it
    }
  }

  private boolean fill(double[] rows, int from) {
    for (int c = 0; c < inputTypes.length; c++) {
      double number = rows[from + c];
      if (Double.isNaN(number)) {
        row.setNullAt(c);
        continue;
      }
      switch (inputTypes[c]) {
        case DOUBLE:
          row.setDouble(c, number);
          break;
        case FLOAT:
          row.setFloat(c, (float) number);
          break;
        case BOOLEAN:
          row.setBoolean(c, number != 0);
          break;
        case TEXT:
          row.update(c, known[c][(int) number]);
          break;
        default:
          if (!fillWhole(c, number)) {
            return false;
          }
      }
    }
    return true;
  }

  private boolean fillWhole(int c, double number) {
    switch (inputTypes[c]) {
      case LONG:
        row.setLong(c, (long) number);
        return Math.abs(number) < EXACT;
      case INT:
        row.setInt(c, (int) number);
        return (int) number == number;
      case SHORT:
        row.setShort(c, (short) number);
        return (short) number == number;
      default:
        row.setByte(c, (byte) number);
        return (byte) number == number;
    }
  }

  private boolean write(InternalRow scored, double[] scores, int to) {
    for (int c = 0; c < outputTypes.length; c++) {
      int at = to + starts[c];
      if (outputTypes[c] == VECTOR) {
        double[] vector = scored.isNullAt(c) ? new double[0] : VECTORS.deserialize(scored.getStruct(c, 4)).toArray();
        if (vector.length != starts[c + 1] - starts[c]) {
          return false;
        }
        System.arraycopy(vector, 0, scores, at, vector.length);
        continue;
      }
      double number = scored.isNullAt(c) ? Double.NaN : number(scored, c);
      if (areFinite[c] && (Double.isNaN(number) || Double.isInfinite(number))) {
        return false;
      }
      scores[at] = number;
    }
    return true;
  }

  private double number(InternalRow scored, int c) {
    switch (outputTypes[c]) {
      case DOUBLE:
        return scored.getDouble(c);
      case FLOAT:
        return scored.getFloat(c);
      case BOOLEAN:
        return scored.getBoolean(c) ? 1 : 0;
      case LONG:
        return scored.getLong(c);
      case INT:
        return scored.getInt(c);
      case SHORT:
        return scored.getShort(c);
      case BYTE:
        return scored.getByte(c);
      default:
        Object number = numbers[c].get(scored.getUTF8String(c));
        return number == null ? Double.NaN : ((Double) number).doubleValue();
    }
  }

  private static int[] types(StructType table) {
    int[] types = new int[table.length()];
    for (int c = 0; c < types.length; c++) {
      types[c] = type(table.apply(c).dataType());
    }
    return types;
  }

  private static int type(DataType type) {
    if (type instanceof StringType) {
      return TEXT;
    }
    if (type instanceof VectorUDT) {
      return VECTOR;
    }
    if (type instanceof DoubleType) {
      return DOUBLE;
    }
    if (type instanceof FloatType) {
      return FLOAT;
    }
    if (type instanceof BooleanType) {
      return BOOLEAN;
    }
    if (type instanceof IntegerType) {
      return INT;
    }
    if (type instanceof ShortType) {
      return SHORT;
    }
    return type instanceof ByteType ? BYTE : LONG;
  }
}
