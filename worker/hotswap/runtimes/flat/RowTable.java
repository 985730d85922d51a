package hotswap.flat;

import java.util.Arrays;

/** Rows and their scores. Rows are scored in blocks, each when it is full. */
final class RowTable {
  private static final int NUMBERS_A_ROW = 256; // on average, in a block of the scorer's largest size

  private final BlockScorer scorer;
  private final int columns;
  private final int width;
  private final int maxRows;
  private final double[] block;
  private final double[] blockScores;
  private double[] scores = new double[1 << 10];
  private int waiting; // the rows of the block, which are the last ones of the table
  private int size;

  RowTable(BlockScorer scorer, int columns, int width) {
    int most = scorer.maxRows();
    int rows = Math.max(1, Math.min(most, most * NUMBERS_A_ROW / Math.max(1, columns)));
    this.scorer = scorer;
    this.maxRows = most;
    this.columns = columns;
    this.width = width;
    this.block = new double[rows * columns];
    this.blockScores = new double[rows * width];
  }

  int size() {
    return size;
  }

  boolean isLarge() {
    return size >= maxRows;
  }

  /** Adds a row. Throws the model's exception for any row of a full block. */
  void add(double[] row) {
    if (waiting * width == blockScores.length) {
      score();
    }
    System.arraycopy(row, 0, block, waiting * columns, columns);
    waiting++;
    size++;
  }

  /** Truncates to `size` rows. */
  void truncate(int size) {
    waiting = Math.max(0, waiting - (this.size - size));
    this.size = size;
  }

  /** The scores of all rows, valid until the next row. Throws the model's exception for any of them. */
  double[] scores() {
    score();
    return scores;
  }

  private void score() {
    if (scores.length < size * width) {
      scores = Arrays.copyOf(scores, 2 * size * width);
    }
    scorer.score(block, waiting, blockScores);
    System.arraycopy(blockScores, 0, scores, (size - waiting) * width, waiting * width);
    waiting = 0;
  }
}
