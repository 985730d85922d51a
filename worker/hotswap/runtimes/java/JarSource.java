package hotswap.java;

import hotswap.flat.Declined;
import hotswap.flat.FieldType;
import hotswap.flat.WireReader;
import java.util.Base64;
import java.util.Locale;
import java.util.Map;

/** Reads the values of a request's field as Java values; throws Declined for a value that does not fit. */
public final class JarSource {
  /** The Java type of the value: a box, a String, an enum's constant or a byte[]. */
  public enum Target {
    BYTE, SHORT, INTEGER, LONG, FLOAT, DOUBLE, BOOLEAN, CHARACTER, TEXT, CONSTANT, BYTES
  }

  private static final long EXACT_IN_FLOAT = 1L << 24;
  private static final int USUAL_NAN = 0x7FC00000;

  final int place;
  final int tag;
  final Class<?> component;
  private final int type;
  private final Target target;
  private final Map<Object, Object> lookup;

  /**
   * @param place of the value in a row; -1: it is skipped
   * @param lookup the constant or name of each value; null: the value itself
   * @param component of the array of a repeated field; null: the field is not repeated
   */
  public JarSource(int place, int tag, int type, Target target, Map<Object, Object> lookup, Class<?> component) {
    this.place = place;
    this.tag = tag;
    this.type = type;
    this.target = target;
    this.lookup = lookup;
    this.component = component;
  }

  Object value(WireReader wire) {
    switch (type) {
      case FieldType.DOUBLE:
        return floating(Double.longBitsToDouble(wire.fixed64()));
      case FieldType.FLOAT:
        int bits = wire.fixed32();
        float single = Float.intBitsToFloat(bits);
        if (single != single && (bits & Integer.MAX_VALUE) != USUAL_NAN) {
          throw new Declined(); // the bits of an unusual NaN may not survive
        }
        return floating(single);
      case FieldType.STRING:
        return text(wire.string());
      case FieldType.BYTES:
        byte[] bytes = wire.octets();
        return target == Target.TEXT ? Base64.getEncoder().encodeToString(bytes) : bytes;
      default:
        return converted(wire.whole(type));
    }
  }

  private Object floating(double value) {
    switch (target) {
      case DOUBLE:
        return value;
      case FLOAT:
        if (Math.abs(value) > Float.MAX_VALUE && !Double.isInfinite(value)) {
          throw new Declined();
        }
        return (float) value;
      case TEXT:
        return Decimals.text(value);
      default:
        throw new Declined();
    }
  }

  private Object converted(long value) {
    switch (target) {
      case BYTE:
        return (byte) within(value, Byte.MIN_VALUE, Byte.MAX_VALUE);
      case SHORT:
        return (short) within(value, Short.MIN_VALUE, Short.MAX_VALUE);
      case INTEGER:
        return (int) within(value, Integer.MIN_VALUE, Integer.MAX_VALUE);
      case LONG:
        return value;
      case FLOAT:
        return (float) within(value, -EXACT_IN_FLOAT, EXACT_IN_FLOAT);
      case DOUBLE:
        return (double) value;
      case BOOLEAN:
        return value != 0;
      case TEXT:
        if (type == FieldType.BOOL) {
          return value != 0 ? "true" : "false";
        }
        Object name = lookup == null ? null : lookup.get(value);
        return name == null ? Long.toString(value) : name;
      case CONSTANT:
        return constant(value);
      default:
        throw new Declined();
    }
  }

  private static long within(long value, long least, long most) {
    if (value < least || value > most) {
      throw new Declined();
    }
    return value;
  }

  private Object text(String value) {
    switch (target) {
      case TEXT:
        return value;
      case CHARACTER:
        if (value.length() != 1) {
          throw new Declined();
        }
        return value.charAt(0);
      case CONSTANT:
        if (!value.chars().allMatch(letter -> letter < 0x80)) {
          throw new Declined();
        }
        return constant(value.replace("_", "").toLowerCase(Locale.ROOT));
      default:
        throw new Declined();
    }
  }

  private Object constant(Object key) {
    Object found = lookup.get(key);
    if (found == null && !lookup.containsKey(key)) {
      throw new Declined();
    }
    return found;
  }
}
