package hotswap.flat;

/** The fast path does not handle these bytes or values: the fallback does, which has the rules and the messages. */
public final class Declined extends RuntimeException {
  private static final long serialVersionUID = 1;

  public Declined() {
    super(null, null, false, false); // no stack trace: nobody reads it
  }
}
