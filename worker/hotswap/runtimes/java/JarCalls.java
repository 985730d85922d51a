package hotswap;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Answers a batch of requests by calls of a jar's method, without leaving the JVM: decodes each, calls, and encodes.
 *
 * <p>It stops at whatever is not plainly good, which Python then answers by its own rules and words, and goes on behind
 * it: so requests are answered in order, each is called once, and both ways give the same bytes. A request that is ODD
 * has not been called; one that is RAISED or RETURNED has been, and Python gets what came of it.
 *
 * <p>A batch, and its answers, are u32 n, n x u32 lengths, the n values joined; all little-endian. The length of what
 * Python answers is LEFT.
 */
public final class JarCalls {
  /** Why a request is left: its bytes or values are unusual; the model raised; it returned something unusual. */
  public static final int ODD = 0, RAISED = 1, RETURNED = 2;

  private static final int LEFT = -1;
  private static final int MOST_BYTES = 1 << 24; // of answers in Java's heap: the rest of the batch is left

  private final ClassLoader loader;
  private final JarReader reader;
  private final JarMethod method;
  private final JarResults results;
  private final JarBytes out = new JarBytes();
  private ByteBuffer answers = ByteBuffer.allocateDirect(0);

  private byte[] requests;
  private int[] lengths; // of the requests, then of their answers
  private int next; // the request that comes next, and where it begins
  private int begin;

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

  /** Takes a batch, and answers it up to the first request that is left: its index, or -1. */
  public int begin(ByteBuffer batch) {
    batch.order(ByteOrder.LITTLE_ENDIAN);
    int count = batch.getInt(0);
    int start = 4 * (count + 1);
    requests = new byte[batch.limit() - start];
    batch.get(start, requests);
    lengths = new int[count];
    for (int i = 0; i < count; i++) {
      lengths[i] = batch.getInt(4 * (i + 1));
    }
    out.cut(0);
    next = begin = 0;
    return resume();
  }

  /** Answers what comes behind the request that was left, up to the next one. */
  public int resume() {
    raised = null;
    returned = null;
    while (next < lengths.length) {
      int request = next++;
      int length = lengths[request];
      int start = out.end();
      boolean isAnswered = answer(begin, length);
      begin += length;
      if (!isAnswered) {
        out.cut(start);
        lengths[request] = LEFT;
        return request;
      }
      lengths[request] = out.end() - start;
    }
    return -1;
  }

  private boolean answer(int begin, int length) {
    why = ODD;
    if (out.end() > MOST_BYTES) {
      return false;
    }
    Object[] arguments;
    try {
      reader.read(requests, begin, length);
      arguments = method.prepare(reader);
    } catch (RuntimeException odd) {
      return false; // nothing of the model's has run
    }
    Thread.currentThread().setContextClassLoader(loader);
    try {
      returned = method.call(reader, arguments);
    } catch (Throwable error) {
      return isRaised(error);
    }
    why = RETURNED;
    try {
      return results.write(returned, reader.rows(), out);
    } catch (JarResults.Raised error) {
      return isRaised(error.getCause());
    } catch (RuntimeException odd) {
      return false;
    }
  }

  private boolean isRaised(Throwable error) {
    why = RAISED;
    raised = error;
    return false;
  }

  /** Why the last request was left. */
  public int why() {
    return why;
  }

  /** What was raised, where the last request is RAISED. */
  public Throwable raised() {
    return raised;
  }

  /** What the calls returned, where the last request is RETURNED. */
  public Object[] returned() {
    return returned;
  }

  /** How many rows the last request has. */
  public int rows() {
    return reader.rows();
  }

  /** What was read of an object among the results, by the fields of an answer's row; null if nothing was. */
  public Object[] readOf(Object result) {
    return results.read().get(result);
  }

  /** The answers; they hold until the next batch. */
  public ByteBuffer answers() {
    int size = 4 * (lengths.length + 1) + out.end();
    if (answers.capacity() < size) {
      answers = ByteBuffer.allocateDirect(2 * size).order(ByteOrder.LITTLE_ENDIAN);
    }
    answers.clear().putInt(lengths.length);
    for (int length : lengths) {
      answers.putInt(length);
    }
    return answers.put(out.bytes(), 0, out.end()).flip();
  }
}
