package hotswap.flat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * Decision trees, evaluated without a branch that depends on a row: the cost of a forest is its mispredicted branches.
 *
 * <p>The trees are kept in groves. A block of rows passes one grove after the other, so that a tree stays in the CPU's
 * cache while all rows of the block walk it, however large the forest is.
 *
 * <p>A ForestBuilder builds it from the trees that a model's own library has read. A BlockScorer applies that library's
 * link function or average to the sums, and is verified by `agree`.
 */
public final class Forest {
  private static final int BLOCK = 25; // no multiple of eight
  private static final int CHECKED_BLOCKS = 8;

  private final int[] levels;
  private final int width;
  private final List<Grove> groves;
  private final List<List<Float>> splits;
  private double[] sums = new double[0];

  /** `splits` has some splits of each column. */
  Forest(int[] levels, int width, List<Grove> groves, List<List<Float>> splits) {
    this.levels = levels;
    this.width = width;
    this.groves = new ArrayList<>(groves);
    this.splits = splits;
  }

  /**
   * The sums of the leaves that each row reaches, for each score, added as doubles in the order of the trees. The array
   * is valid until the next call.
   */
  public double[] sums(double[] rows, int count) {
    int size = (count + Grove.LANES - 1) * width;
    if (sums.length < size) {
      sums = new double[size];
    }
    Arrays.fill(sums, 0, size, 0);
    for (Grove grove : groves) {
      grove.score(rows, levels.length, count, sums, width);
    }
    return sums;
  }

  /** Whether two scorers return the same bits for rows with values at, just below and just above the splits. */
  public boolean agree(BlockScorer one, BlockScorer other) {
    Random random = new Random(0);
    double[] rows = new double[BLOCK * levels.length];
    double[] scores = new double[BLOCK * width];
    double[] others = new double[BLOCK * width];
    for (int block = 0; block < CHECKED_BLOCKS; block++) {
      for (int number = 0; number < rows.length; number++) {
        rows[number] = value(number % levels.length, random);
      }
      one.score(rows, BLOCK, scores);
      other.score(rows, BLOCK, others);
      if (!Arrays.equals(scores, others)) {
        return false;
      }
    }
    return true;
  }

  private double value(int column, Random random) {
    List<Float> some = splits.get(column);
    if (random.nextInt(8) == 0) {
      return Double.NaN;
    } else if (levels[column] > 0) {
      return random.nextInt(levels[column]);
    } else if (some.isEmpty() || random.nextInt(4) == 0) {
      return random.nextGaussian();
    }
    double split = some.get(random.nextInt(some.size()));
    double[] around = {Math.nextDown(split), split, Math.nextUp(split)};
    return around[random.nextInt(around.length)];
  }
}
