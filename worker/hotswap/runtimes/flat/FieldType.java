package hotswap.flat;

/** The types of fields, by protobuf's own numbers (descriptor.proto, FieldDescriptorProto.Type). */
public final class FieldType {
  public static final int DOUBLE = 1, FLOAT = 2, INT64 = 3, UINT64 = 4, INT32 = 5, FIXED64 = 6, FIXED32 = 7, BOOL = 8;
  public static final int STRING = 9, BYTES = 12, UINT32 = 13, ENUM = 14, SFIXED32 = 15, SFIXED64 = 16, SINT32 = 17;
  public static final int SINT64 = 18;

  private FieldType() {}
}
