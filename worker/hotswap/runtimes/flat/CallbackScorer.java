package hotswap.flat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;

/** Scores blocks by a function outside of the JVM, in two buffers that both sides share. */
public final class CallbackScorer implements BlockScorer {
  /** Reads rows and writes scores, in the shared buffers. */
  public interface Callback {
    /**
     * Scores the first `count` rows.
     *
     * @param first the number of the first text of `texts`; those from this number on are no longer in use
     * @param texts new texts, as a Batch has its requests; null: there is none
     */
    void score(int count, int first, byte[] texts);
  }

  private final Callback callback;
  private final Texts texts;
  private final DoubleBuffer rows;
  private final DoubleBuffer scores;
  private final int columns;
  private final int width;
  private final int maxRows;

  /**
   * @param rows room for `maxRows` rows of `columns` numbers
   * @param scores room for `maxRows` rows of `width` numbers
   */
  public CallbackScorer(
      Callback callback, Texts texts, ByteBuffer rows, ByteBuffer scores, int columns, int width, int maxRows) {
    this.callback = callback;
    this.texts = texts;
    this.rows = rows.order(ByteOrder.nativeOrder()).asDoubleBuffer();
    this.scores = scores.order(ByteOrder.nativeOrder()).asDoubleBuffer();
    this.columns = columns;
    this.width = width;
    this.maxRows = maxRows;
  }

  @Override
  public int maxRows() {
    return maxRows;
  }

  @Override
  public void score(double[] rows, int count, double[] scores) {
    this.rows.put(0, rows, 0, count * columns);
    int first = texts.taken();
    callback.score(count, first, texts.take());
    this.scores.get(0, scores, 0, count * width);
  }
}
