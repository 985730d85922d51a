package hotswap;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Answers a batch of requests whose rows are flat, in one call: decodes them, scores them and encodes the answers.
 *
 * <p>It answers only what is plainly good. Whatever is odd in any way (a byte that is not where it is expected, a
 * category that the model does not know, a model that raises) is left to the plain path in Python, which knows the
 * policies and the words of refusals: so both give the same answers, and the rules are written once.
 *
 * <p>A batch, and its answers, are u32 n, n x u32 lengths, the n values joined; all little-endian. The length of what is
 * left is LEFT.
 */
public final class FlatRows {
  static final int LEFT = -1;

  private final RowReader reader;
  private final RowTable table;
  private final AnswerWriter writer;
  private ByteBuffer answers = ByteBuffer.allocateDirect(0);

  // Of each request of the batch: the first of its rows in the table (its last is before the next one's), and how long
  // its answer is.
  private int[] firsts = new int[0];
  private int[] lengths = new int[0];

  public FlatRows(BlockScorer scorer, RowReader reader, AnswerWriter writer) {
    this.reader = reader;
    this.table = new RowTable(scorer, reader.columns(), writer.width());
    this.writer = writer;
  }

  /** Answers a batch; what it gives holds until the next one. */
  public ByteBuffer answer(ByteBuffer batch) {
    batch.order(ByteOrder.LITTLE_ENDIAN);
    int count = batch.getInt(0);
    int start = 4 * (count + 1);
    byte[] requests = new byte[batch.limit() - start];
    batch.get(start, requests);
    firsts = new int[count + 1];
    lengths = new int[count];
    table.cut(0);
    writer.cut(0);
    int answered = 0;
    for (int i = 0, begin = 0; i < count; i++) {
      int length = batch.getInt(4 * (i + 1));
      firsts[i] = table.size();
      if (!read(requests, begin, length)) {
        lengths[i] = LEFT;
        table.cut(firsts[i]);
      }
      begin += length;
      firsts[i + 1] = table.size();
      if (table.isLarge() || i + 1 == count) {
        write(answered, i + 1);
        answered = i + 1;
      }
    }
    return joined(start);
  }

  private boolean read(byte[] requests, int begin, int length) {
    try {
      reader.read(requests, begin, length, table);
      return true;
    } catch (RuntimeException error) {
      return false; // the plain path finds out what it is, and says so
    }
  }

  /** Answers these requests, whose rows are all that the table has. */
  private void write(int first, int last) {
    int start = writer.end();
    try {
      double[] scores = table.scores();
      for (int i = first; i < last; i++) {
        if (lengths[i] != LEFT) {
          lengths[i] = writer.write(scores, firsts[i], firsts[i + 1]);
        }
      }
    } catch (RuntimeException error) { // the model's, for one of the rows
      writer.cut(start);
      Arrays.fill(lengths, first, last, LEFT);
    }
    table.cut(0);
  }

  private ByteBuffer joined(int start) {
    int size = start + writer.end();
    if (answers.capacity() < size) {
      answers = ByteBuffer.allocateDirect(2 * size).order(ByteOrder.LITTLE_ENDIAN);
    }
    answers.clear().putInt(lengths.length);
    for (int length : lengths) {
      answers.putInt(length);
    }
    return answers.put(writer.bytes(), 0, writer.end()).flip();
  }
}
