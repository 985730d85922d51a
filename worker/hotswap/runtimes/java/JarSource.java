package hotswap;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.Locale;
import java.util.Map;

/** Reads the values of a request's field as Java values; raises Wire.Odd for one that does not plainly fit. */
public final class JarSource {
  /** What a field's value becomes: the name of a box, a String, an enum's constant or a byte[]. */
  public enum Target {
    BYTE, SHORT, INTEGER, LONG, FLOAT, DOUBLE, BOOLEAN, CHARACTER, TEXT, CONSTANT, BYTES
  }

  /** What a field holds, by protobuf's own numbers (descriptor.proto, FieldDescriptorProto.Type). */
  private static final int DOUBLE = 1, FLOAT = 2, UINT64 = 4, INT32 = 5, FIXED64 = 6, FIXED32 = 7, BOOL = 8, STRING = 9,
      BYTES = 12, UINT32 = 13, ENUM = 14, SFIXED32 = 15, SFIXED64 = 16, SINT32 = 17, SINT64 = 18;

  private static final long EXACT_IN_FLOAT = 1L << 24;
  private static final int USUAL_NAN = 0x7FC00000;

  final int place;
  final int tag;
  final Class<?> component;
  private final int type;
  private final Target target;
  private final Map<Object, Object> lookup;
  private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();

  /**
   * @param place of its value in a row; -1: nowhere
   * @param lookup the constants, or names, that its values stand for; null: they stand for themselves
   * @param component of the array, where the field is repeated; else null
   */
  public JarSource(int place, int tag, int type, Target target, Map<Object, Object> lookup, Class<?> component) {
    this.place = place;
    this.tag = tag;
    this.type = type;
    this.target = target;
    this.lookup = lookup;
    this.component = component;
  }

  Object value(Wire wire) {
    switch (type) {
      case DOUBLE:
        return floating(Double.longBitsToDouble(wire.fixed64()));
      case FLOAT:
        int bits = wire.fixed32();
        float single = Float.intBitsToFloat(bits);
        if (single != single && (bits & Integer.MAX_VALUE) != USUAL_NAN) {
          throw Wire.odd(); // another NaN than the usual one may not survive
        }
        return floating(single);
      case STRING:
        return text(string(wire));
      case BYTES:
        int length = wire.length();
        int begin = wire.skip(length);
        byte[] bytes = Arrays.copyOfRange(wire.bytes, begin, begin + length);
        return target == Target.TEXT ? Base64.getEncoder().encodeToString(bytes) : bytes;
      default:
        return converted(raw(wire));
    }
  }

  private Object floating(double value) {
    switch (target) {
      case DOUBLE:
        return value;
      case FLOAT:
        if (Math.abs(value) > Float.MAX_VALUE && !Double.isInfinite(value)) {
          throw Wire.odd();
        }
        return (float) value;
      case TEXT:
        return Decimals.text(value);
      default:
        throw Wire.odd();
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
        if (type == BOOL) {
          return value != 0 ? "true" : "false";
        }
        Object name = lookup == null ? null : lookup.get(value);
        return name == null ? Long.toString(value) : name;
      case CONSTANT:
        return constant(value);
      default:
        throw Wire.odd();
    }
  }

  private static long within(long value, long least, long most) {
    if (value < least || value > most) {
      throw Wire.odd();
    }
    return value;
  }

  private Object text(String value) {
    switch (target) {
      case TEXT:
        return value;
      case CHARACTER:
        if (value.length() != 1) {
          throw Wire.odd();
        }
        return value.charAt(0);
      case CONSTANT:
        if (!value.chars().allMatch(letter -> letter < 0x80)) {
          throw Wire.odd();
        }
        return constant(value.replace("_", "").toLowerCase(Locale.ROOT));
      default:
        throw Wire.odd();
    }
  }

  private Object constant(Object key) {
    Object found = lookup.get(key);
    if (found == null && !lookup.containsKey(key)) {
      throw Wire.odd();
    }
    return found;
  }

  private String string(Wire wire) {
    int length = wire.length();
    int begin = wire.skip(length);
    for (int at = begin; at < wire.at; at++) {
      if (wire.bytes[at] < 0) {
        try {
          return decoder.decode(ByteBuffer.wrap(wire.bytes, begin, length)).toString();
        } catch (CharacterCodingException error) {
          throw Wire.odd();
        }
      }
    }
    return new String(wire.bytes, begin, length, StandardCharsets.ISO_8859_1);
  }

  /** Reads a whole number. Raises where protobuf's libraries could read another one, or a long cannot hold it. */
  private long raw(Wire wire) {
    switch (type) {
      case FIXED32:
        return wire.fixed32() & 0xFFFFFFFFL;
      case SFIXED32:
        return wire.fixed32();
      case SFIXED64:
        return wire.fixed64();
      case FIXED64:
        return within(wire.fixed64(), 0, Long.MAX_VALUE);
      default:
    }
    long value = wire.varint();
    switch (type) {
      case BOOL:
        return value == 0 ? 0 : 1;
      case INT32:
      case ENUM:
        return (int) value;
      case UINT32:
        return value & 0xFFFFFFFFL;
      case SINT32:
        return (int) value >>> 1 ^ -((int) value & 1);
      case SINT64:
        return value >>> 1 ^ -(value & 1);
      case UINT64:
        return within(value, 0, Long.MAX_VALUE);
      default:
        return value;
    }
  }
}
