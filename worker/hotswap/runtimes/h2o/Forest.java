package hotswap;

import hex.genmodel.GenModel;
import hex.genmodel.algos.tree.SharedTreeMojoModel;
import hex.genmodel.algos.tree.SharedTreeNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * Scores as a forest's score0 does (GBM, DRF, isolation forest), to the bit, without a branch that depends on a row:
 * what a forest costs is its mispredicted branches, and H2O also reads the bytes of its trees anew for each row.
 *
 * <p>The format stays H2O's affair, for the trees come from its own reader; so does what their sum means, for it goes
 * through its unifyPreds. Both ways are compared when a model is loaded.
 *
 * <p>The trees are kept in groves, and a block of rows goes through one grove after the other: so a tree stays in the
 * CPU's cache while all rows of the block walk it, however large the forest is.
 */
public final class Forest implements BlockScorer {
  private static final int BLOCK = 25; // no multiple of eight
  private static final int CHECKED_BLOCKS = 8;
  private static final long MAX_SHARE = 32; // of the heap; what is made of H2O's trees takes six times their bytes

  private final SharedTreeMojoModel model;
  private final int columns;
  private final int width;
  private final List<Grove> groves = new ArrayList<>();
  private final Map<Integer, List<Float>> splits = new HashMap<>(); // of a column, for trying out
  private double[] sums = new double[0];

  /** What scores as `model`; null where it has no trees, too many, or scores otherwise. */
  public static Forest of(GenModel model, int columns, int width) {
    if (!(model instanceof SharedTreeMojoModel trees) || columns != trees.nfeatures() || bytes(trees) > Runtime.getRuntime().maxMemory() / MAX_SHARE) {
      return null;
    }
    try {
      Forest forest = new Forest(trees, columns, width);
      return forest.agrees() ? forest : null;
    } catch (RuntimeException error) {
      return null; // whatever it is that is not as it is known here, H2O knows it
    }
  }

  private static long bytes(SharedTreeMojoModel model) {
    long bytes = 0;
    for (int group = 0; group < model.getNTreeGroups(); group++) {
      for (int tree = 0; tree < model.getNTreesPerGroup(); tree++) {
        byte[] one = model.treeBytes(group, tree);
        bytes += one == null ? 0 : one.length;
      }
    }
    return bytes;
  }

  private Forest(SharedTreeMojoModel model, int columns, int width) {
    this.model = model;
    this.columns = columns;
    this.width = width;
    int first = model.nclasses() == 1 ? 0 : 1;
    Planting planting = new Planting(model, splits);
    for (int group = 0; group < model.getNTreeGroups(); group++) {
      var graph = model.computeGraph(group);
      for (int tree = 0; tree < model.getNTreesPerGroup(); tree++) {
        SharedTreeNode root = graph.subgraphArray.get(tree).rootNode;
        if (root != null) { // a class that the group has no tree for
          planting.add(root, first + tree);
        }
      }
      if (planting.isLarge()) {
        groves.add(planting.grove());
        planting = new Planting(model, splits);
      }
    }
    groves.add(planting.grove());
  }

  @Override
  public void score(double[] rows, int count, double[] scores) {
    int padded = count + Grove.LANES - 1;
    if (sums.length < padded * width) {
      sums = new double[padded * width];
    }
    Arrays.fill(sums, 0, padded * width, 0);
    for (Grove grove : groves) {
      grove.score(rows, columns, count, sums, width);
    }
    double[] row = new double[columns];
    double[] one = new double[width];
    for (int number = 0; number < count; number++) {
      System.arraycopy(rows, number * columns, row, 0, columns);
      System.arraycopy(sums, number * width, one, 0, width);
      model.unifyPreds(row, 0, one);
      System.arraycopy(one, 0, scores, number * width, width);
    }
  }

  /** Whether score0 says the same of rows whose values are at the splits, and beside them. */
  private boolean agrees() {
    Random random = new Random(0);
    double[] rows = new double[BLOCK * columns];
    double[] ours = new double[BLOCK * width];
    for (int block = 0; block < CHECKED_BLOCKS; block++) {
      for (int number = 0; number < rows.length; number++) {
        int column = number % columns;
        rows[number] = value(model.getDomainValues(column), splits.get(column), random);
      }
      score(rows, BLOCK, ours);
      for (int number = 0; number < BLOCK; number++) {
        double[] row = Arrays.copyOfRange(rows, number * columns, (number + 1) * columns);
        double[] one = Arrays.copyOfRange(ours, number * width, (number + 1) * width);
        if (!Arrays.equals(one, model.score0(row, new double[width]))) {
          return false;
        }
      }
    }
    return true;
  }

  private static double value(String[] levels, List<Float> splits, Random random) {
    if (random.nextInt(8) == 0) {
      return Double.NaN;
    } else if (levels != null) {
      return random.nextInt(levels.length);
    } else if (splits == null || random.nextInt(4) == 0) {
      return random.nextGaussian();
    }
    double split = splits.get(random.nextInt(splits.size()));
    double[] around = {Math.nextDown(split), split, Math.nextUp(split)};
    return around[random.nextInt(around.length)];
  }
}
