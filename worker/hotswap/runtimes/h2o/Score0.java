package hotswap.h2o;

import hex.genmodel.GenModel;
import hotswap.flat.BlockScorer;
import java.util.Arrays;

/** Scores rows as the score0 of a model of H2O. */
public final class Score0 {
  private Score0() {}

  /** The fastest scorer of `model`, which has `columns` columns, and whose score0 returns `width` numbers. */
  public static BlockScorer of(GenModel model, int columns, int width) {
    MojoForest forest = MojoForest.of(model, columns, width);
    return forest != null ? forest : rowByRow(model, columns, width);
  }

  static BlockScorer rowByRow(GenModel model, int columns, int width) {
    return (rows, count, scores) -> {
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
