package hotswap.flat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A batch of requests in one buffer, and their answers in another.
 *
 * <p>Both are u32 n, n x u32 lengths, the n values joined; little-endian. The length of the answer to a declined request
 * is DECLINED.
 */
public final class Batch {
  public static final int DECLINED = -1;

  private final WireWriter out = new WireWriter();
  private ByteBuffer answers = ByteBuffer.allocateDirect(0);
  private byte[] requests = new byte[0];
  private int[] lengths = new int[0];

  /** Copies the requests of a batch, and forgets those of the last one. */
  public void open(ByteBuffer batch) {
    batch.order(ByteOrder.LITTLE_ENDIAN);
    int start = start(batch.getInt(0));
    requests = new byte[batch.limit() - start];
    batch.get(start, requests);
    lengths = new int[batch.getInt(0)];
    for (int i = 0; i < lengths.length; i++) {
      lengths[i] = batch.getInt(start(i));
    }
    out.truncate(0);
  }

  public int size() {
    return lengths.length;
  }

  /** The requests, joined. */
  public byte[] requests() {
    return requests;
  }

  /** The length of each request, which its answer's replaces. */
  public int[] lengths() {
    return lengths;
  }

  /** The answers, joined. */
  public WireWriter out() {
    return out;
  }

  /** The buffer of the answers, valid until the next batch. */
  public ByteBuffer answers() {
    int size = start(lengths.length) + out.end();
    if (answers.capacity() < size) {
      answers = ByteBuffer.allocateDirect(2 * size).order(ByteOrder.LITTLE_ENDIAN);
    }
    answers.clear().putInt(lengths.length);
    for (int length : lengths) {
      answers.putInt(length);
    }
    return answers.put(out.bytes(), 0, out.end()).flip();
  }

  /** Where the values of `count` requests begin; also, where the length of request `count` is. */
  private static int start(int count) {
    return Integer.BYTES * (count + 1);
  }
}
