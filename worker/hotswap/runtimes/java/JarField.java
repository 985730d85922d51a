package hotswap.java;

import hotswap.flat.FieldType;
import hotswap.flat.WireWriter;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Map;

/** Writes Java values to a field of an answer, if they fit it without any conversion rule of the fallback. */
public final class JarField {
  private static final long EXACT_IN_DOUBLE = 1L << 53;
  private static final long UINT32_END = 1L << 32;
  private static final int USUAL_NAN = 0x7FC00000;

  private final int type;
  private final int tag;
  private final boolean isRepeated;
  private final boolean hasPresence;
  private final Map<Object, Object> numbers;
  private final WireWriter packed = new WireWriter();
  private final CharsetEncoder encoder = StandardCharsets.UTF_8.newEncoder();

  /**
   * @param tag the packed one, if a repeated field can be packed
   * @param numbers an enum's numbers, as Longs, by name in lower case and by number; null: the field is no enum
   */
  public JarField(int type, int tag, boolean isRepeated, boolean hasPresence, Map<Object, Object> numbers) {
    this.type = type;
    this.tag = tag;
    this.isRepeated = isRepeated;
    this.hasPresence = hasPresence;
    this.numbers = numbers;
  }

  boolean isRepeated() {
    return isRepeated;
  }

  /** Whether `write` may accept the value, and it is neither a list nor an object. */
  static boolean isScalar(Object value) {
    return value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof Enum;
  }

  /** Writes the value of a row; false if it does not fit. */
  boolean write(Object value, WireWriter to) {
    if (isRepeated) {
      Object[] elements = JarMethod.elements(value);
      return elements != null && writeMany(elements, 0, 1, elements.length, to);
    } else if (value == null) {
      return hasPresence;
    }
    int before = to.end();
    to.varint(tag);
    int begin = to.end();
    if (!writeValue(value, to)) {
      return false;
    }
    if (!hasPresence && to.isZeroFrom(begin)) {
      to.truncate(before);
    }
    return true;
  }

  /** Writes every `step`-th value from `first` on, `count` in all, to a repeated field; false if one does not fit. */
  boolean writeMany(Object[] values, int first, int step, int count, WireWriter to) {
    boolean isPacked = type != FieldType.STRING && type != FieldType.BYTES;
    packed.truncate(0);
    for (int i = 0; i < count; i++) {
      if (!isPacked) {
        to.varint(tag);
      }
      if (!writeValue(values[first + i * step], isPacked ? packed : to)) {
        return false;
      }
    }
    if (isPacked && count > 0) {
      to.varint(tag);
      to.sized(packed.bytes(), packed.end());
    }
    return true;
  }

  private boolean writeValue(Object value, WireWriter to) {
    switch (type) {
      case FieldType.DOUBLE:
      case FieldType.FLOAT:
        return writeFloating(value, to);
      case FieldType.STRING:
        return writeText(value, to);
      case FieldType.BYTES:
        if (value instanceof byte[] bytes) {
          to.sized(bytes, bytes.length);
          return true;
        }
        return false;
      case FieldType.BOOL:
        if (value instanceof Boolean truth) {
          to.varint(truth ? 1 : 0);
          return true;
        }
        return false;
      case FieldType.ENUM:
        return writeEnum(value, to);
      default:
        return writeWhole(value, to);
    }
  }

  private boolean writeFloating(Object value, WireWriter to) {
    double number;
    if (value instanceof Double real) {
      number = real;
    } else if (value instanceof Float real) {
      if (real.isNaN() && (Float.floatToRawIntBits(real) & Integer.MAX_VALUE) != USUAL_NAN) {
        return false;
      }
      number = real;
    } else if (isWhole(value) && Math.abs(((Number) value).longValue()) <= EXACT_IN_DOUBLE) {
      number = ((Number) value).longValue();
    } else {
      return false;
    }
    if (type == FieldType.DOUBLE) {
      to.fixed64(Double.doubleToRawLongBits(number));
      return true;
    }
    if (Math.abs(number) > Float.MAX_VALUE && !Double.isInfinite(number)) {
      return false;
    }
    to.fixed32(Float.floatToRawIntBits((float) number));
    return true;
  }

  private boolean writeWhole(Object value, WireWriter to) {
    long number;
    if (isWhole(value)) {
      number = ((Number) value).longValue();
    } else if (value instanceof Double real && Math.abs(real) <= EXACT_IN_DOUBLE && real == real.longValue()) {
      number = real.longValue();
    } else {
      return false;
    }
    switch (type) {
      case FieldType.INT64:
        to.varint(number);
        return true;
      case FieldType.SINT64:
        to.varint(number << 1 ^ number >> 63);
        return true;
      case FieldType.SFIXED64:
        to.fixed64(number);
        return true;
      case FieldType.UINT64:
      case FieldType.FIXED64:
        return number >= 0 && writeUnsigned(number, to);
      case FieldType.UINT32:
      case FieldType.FIXED32:
        return number >= 0 && number < UINT32_END && writeUnsigned(number, to);
      default:
        return number == (int) number && writeSmall((int) number, to);
    }
  }

  private boolean writeUnsigned(long number, WireWriter to) {
    if (type == FieldType.FIXED64) {
      to.fixed64(number);
    } else if (type == FieldType.FIXED32) {
      to.fixed32((int) number);
    } else {
      to.varint(number);
    }
    return true;
  }

  private boolean writeSmall(int number, WireWriter to) {
    if (type == FieldType.SFIXED32) {
      to.fixed32(number);
    } else if (type == FieldType.SINT32) {
      to.varint((number << 1 ^ number >> 31) & UINT32_END - 1);
    } else {
      to.varint(number); // INT32: a negative one has ten bytes
    }
    return type == FieldType.SFIXED32 || type == FieldType.SINT32 || type == FieldType.INT32;
  }

  private boolean writeText(Object value, WireWriter to) {
    String text;
    if (value instanceof String string) {
      text = string;
    } else if (value instanceof Enum<?> constant) {
      text = constant.name();
    } else if (isWhole(value) || value instanceof Boolean) {
      text = value.toString();
    } else {
      return false;
    }
    try {
      ByteBuffer bytes = encoder.encode(CharBuffer.wrap(text)); // throws for half of a surrogate pair
      to.sized(bytes.array(), bytes.limit());
      return true;
    } catch (CharacterCodingException error) {
      return false;
    }
  }

  private boolean writeEnum(Object value, WireWriter to) {
    Object key = isWhole(value) ? (Object) ((Number) value).longValue() : value;
    if (value instanceof String || value instanceof Enum) {
      String name = value instanceof Enum<?> constant ? constant.name() : (String) value;
      key = name.chars().allMatch(letter -> letter < 0x80) ? name.toLowerCase(Locale.ROOT) : null;
    }
    Object number = numbers.get(key);
    if (number == null) {
      return false;
    }
    to.varint((Long) number);
    return true;
  }

  private static boolean isWhole(Object value) {
    return value instanceof Integer || value instanceof Long || value instanceof Short || value instanceof Byte;
  }
}
