package hotswap;

import hex.genmodel.GenModel;
import java.util.Arrays;

/** Scores rows as the score0 of a model of H2O does, row by row. */
public final class Score0 {
  private Score0() {}

  /** The quickest way to score as `model`, which has `columns` columns, and whose score0 gives `width` numbers. */
  public static BlockScorer of(GenModel model, int columns, int width) {
    Forest forest = Forest.of(model, columns, width);
    return forest != null ? forest : (rows, count, scores) -> {
      double[] row = new double[columns]; // a copy, since some models overwrite it
      double[] one = new double[width];
      for (int number = 0; number < count; number++) {
        System.arraycopy(rows, number * columns, row, 0, columns);
        Arrays.fill(one, 0);
        model.score0(row, one);
        System.arraycopy(one, 0, scores, number * width, width);
      }
    };
  }
}
