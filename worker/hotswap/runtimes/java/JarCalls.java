package hotswap.java;

import hotswap.flat.Batch;
import hotswap.flat.WireWriter;
import java.nio.ByteBuffer;

/**
 * Answers a batch of requests by calls of a jar's method: decodes each, calls, and encodes.
 *
 * <p>Declines unusual requests to the fallback in Python, as FlatRows does, and stops at each until it is answered: so
 * requests are answered in order, each is called once, and both paths give the same bytes. An UNUSUAL request has not been
 * called; one that is RAISED or RETURNED has been, and Python gets the exception or the results.
 */
public final class JarCalls {
  /** Why a request is declined: unusual bytes or values; the model raised; it returned something unusual. */
  public static final int UNUSUAL = 0, RAISED = 1, RETURNED = 2;

  private static final int MOST_BYTES = 1 << 24; // of answers in Java's heap: the rest of the batch is declined

  private final ClassLoader loader;
  private final JarReader reader;
  private final JarMethod method;
  private final JarResults results;
  private final Batch batch = new Batch();
  private int next; // the next request
  private int begin; // its first byte

  private int why;
  private Throwable raised;
  private Object[] returned;

  /** @param loader the context class loader that each call sees, whatever the one before it did */
  public JarCalls(ClassLoader loader, JarReader reader, JarMethod method, JarResults results) {
    this.loader = loader;
    this.reader = reader;
    this.method = method;
    this.results = results;
  }

  /** Answers a Batch up to the first declined request: its index, or -1. */
  public int begin(ByteBuffer requests) {
    batch.open(requests);
    next = begin = 0;
    return resume();
  }

  /** Continues after the declined request, up to the next one. */
  public int resume() {
    raised = null;
    returned = null;
    WireWriter out = batch.out();
    int[] lengths = batch.lengths();
    while (next < lengths.length) {
      int request = next++;
      int length = lengths[request];
      int start = out.end();
      boolean isAnswered = answer(begin, length);
      begin += length;
      if (!isAnswered) {
        out.truncate(start);
        lengths[request] = Batch.DECLINED;
        return request;
      }
      lengths[request] = out.end() - start;
    }
    return -1;
  }

  private boolean answer(int begin, int length) {
    why = UNUSUAL;
    if (batch.out().end() > MOST_BYTES) {
      return false;
    }
    Object[] arguments;
    try {
      reader.read(batch.requests(), begin, length);
      arguments = method.prepare(reader);
    } catch (RuntimeException unusual) {
      return false; // none of the model's code has run
    }
    Thread.currentThread().setContextClassLoader(loader);
    try {
      returned = method.call(reader, arguments);
    } catch (Throwable error) {
      return isRaised(error);
    }
    why = RETURNED;
    try {
      return results.write(returned, reader.rows(), batch.out());
    } catch (JarResults.Raised error) {
      return isRaised(error.getCause());
    } catch (RuntimeException unusual) {
      return false;
    }
  }

  private boolean isRaised(Throwable error) {
    why = RAISED;
    raised = error;
    return false;
  }

  /** Why the last request was declined. */
  public int why() {
    return why;
  }

  /** The exception, if the last request is RAISED. */
  public Throwable raised() {
    return raised;
  }

  /** The results of the calls, if the last request is RETURNED. */
  public Object[] returned() {
    return returned;
  }

  /** The number of rows of the last request. */
  public int rows() {
    return reader.rows();
  }

  /** The properties that were read of an object among the results, in the order of an answer's fields; null: none. */
  public Object[] readOf(Object result) {
    return results.read().get(result);
  }

  /** The buffer of the answers, valid until the next batch. */
  public ByteBuffer answers() {
    return batch.answers();
  }
}
