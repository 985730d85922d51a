package hotswap;

/** Scores rows of numbers, block by block. */
public interface BlockScorer {
  /**
   * Scores `count` rows, which lie one after the other in `rows` and are left as they are, to the beginning of `scores`.
   * Raises what the model raises for one of them.
   */
  void score(double[] rows, int count, double[] scores);
}
