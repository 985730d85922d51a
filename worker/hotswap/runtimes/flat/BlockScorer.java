package hotswap.flat;

/** Scores rows of numbers, block by block. */
public interface BlockScorer {
  /** The rows of the largest block. */
  default int maxRows() {
    return 256;
  }

  /**
   * Writes the scores of the first `count` rows to `scores`, row after row, as `rows` has its numbers, which stay as they
   * are. Throws the model's exception for any of them.
   */
  void score(double[] rows, int count, double[] scores);
}
