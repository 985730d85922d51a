package hotswap.flat;

/**
 * Reads the rows of a request, field by field; a subclass keeps their values.
 *
 * <p>A request is a row, or a message with one repeated field of rows. Any other field, and any of a row that the
 * subclass does not know, declines it.
 */
public abstract class RequestReader {
  protected final WireReader wire = new WireReader();
  private final int fields;
  private final int rowsTag;

  /**
   * @param fields the number after the last known field's
   * @param rowsTag the tag of the repeated field of rows; 0: a request is a row
   */
  protected RequestReader(int fields, int rowsTag) {
    this.fields = fields;
    this.rowsTag = rowsTag;
  }

  /** Throws Declined for a request that is unusual in any way, perhaps after some of its rows. */
  protected final void readRows(byte[] requests, int begin, int length) {
    wire.open(requests, begin, length);
    if (rowsTag == 0) {
      readRow();
      return;
    }
    while (wire.hasMore()) {
      if (wire.varint() != rowsTag) {
        throw new Declined();
      }
      int outer = wire.enter();
      readRow();
      wire.leave(outer);
    }
  }

  private void readRow() {
    startRow();
    while (wire.hasMore()) {
      long tag = wire.varint();
      long field = tag >>> 3;
      if (field == 0 || field >= fields) {
        throw new Declined();
      }
      readField((int) field, tag);
    }
    endRow();
  }

  protected abstract void startRow();

  /** Reads the value behind `tag` from `wire`. */
  protected abstract void readField(int field, long tag);

  protected abstract void endRow();
}
